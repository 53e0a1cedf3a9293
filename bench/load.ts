import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** The server runs on this core, the load on the other: neither takes from the other's share. */
export const SERVER_CORE = "0";
export const LOAD_CORE = "1";

async function onLoadCore(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute("taskset", ["-c", LOAD_CORE, program, ...args], { maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

export interface RateOptions {
  readonly connections: number;
  readonly seconds: number;
  readonly accept: string;
}

/** GETs a second by wrk, one thread; any answer that is not 2xx or 3xx fails the row. */
export async function getRate(url: string, { connections, seconds, accept }: RateOptions): Promise<number> {
  const said = await onLoadCore("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "-H", `Accept: ${accept}`, url]);
  if (/Non-2xx|Socket errors/.test(said)) throw new Error(`wrk ${url}:\n${said}`);
  return rateIn(said, /Requests\/sec:\s+([\d.]+)/);
}

/** HEADs a second by ab, keep-alive (wrk waits for the body that a HEAD's Content-Length names). */
export async function headRate(url: string, { connections, seconds, accept }: RateOptions): Promise<number> {
  const said = await onLoadCore("ab", [
    "-q",
    "-i",
    "-k",
    "-c",
    `${connections}`,
    "-t",
    `${seconds}`,
    "-n",
    "10000000",
    "-H",
    `Accept: ${accept}`,
    url,
  ]);
  if (/Non-2xx|Failed requests:\s+[1-9]/.test(said)) throw new Error(`ab ${url}:\n${said}`);
  return rateIn(said, /Requests per second:\s+([\d.]+)/);
}

function rateIn(said: string, pattern: RegExp): number {
  const rate = pattern.exec(said)?.[1];
  if (rate === undefined) throw new Error(`the load said nothing to read:\n${said}`);
  return Number(rate);
}

export interface Transfer {
  readonly megabytesPerSecond: number;
  readonly firstByteMs: number;
  readonly seconds: number;
}

/** One body by curl, thrown away. */
export async function download(url: string, sizeBytes: number): Promise<Transfer> {
  const said = await onLoadCore("curl", [
    "-sS",
    "-f",
    "-o",
    "/dev/null",
    "-w",
    "%{size_download} %{time_total} %{time_starttransfer}",
    url,
  ]);
  const [size = 0, seconds = 0, first = 0] = said.split(" ").map(Number);
  if (size !== sizeBytes) throw new Error(`${url} gave ${size} bytes of ${sizeBytes}`);
  return { megabytesPerSecond: size / 1e6 / seconds, firstByteMs: first * 1000, seconds };
}

/** Writes out all that waits for the disk, so that what is measured next does not pay for what came before it. */
export async function quietDisk(): Promise<void> {
  await execute("sync");
}

/** POST, then one PUT with the whole file: how containerd pushes. The rate is that of the PUT. */
export async function upload(base: string, repository: string, file: string, digest: string, sizeBytes: number): Promise<Transfer> {
  const begun = await fetch(`${base}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const location = new URL(begun.headers.get("location") ?? "", base);
  location.searchParams.set("digest", digest);
  const quiet = ["-sS", "-f", "-o", "/dev/null", "-w", "%{time_total}", "-H", "Content-Type: application/octet-stream", "-H", "Expect:"];
  const said = await onLoadCore("curl", [...quiet, "-T", file, location.href]);
  const seconds = Number(said);
  return { megabytesPerSecond: sizeBytes / 1e6 / seconds, firstByteMs: 0, seconds };
}

/** Wall seconds of one run of a program on the load's core. */
export async function timed(program: string, args: readonly string[]): Promise<number> {
  const begun = performance.now();
  await onLoadCore(program, args);
  return (performance.now() - begun) / 1000;
}

/** Resident memory of a process, MiB. */
export async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

export interface Peer {
  readonly version: string;
  readonly url: string;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** Debian's docker-registry (distribution), on the server's core. */
export async function startDistribution(config: string, port: number): Promise<Peer> {
  const { stdout } = await execute("docker-registry", ["--version"]);
  const child = spawn("taskset", ["-c", SERVER_CORE, "docker-registry", "serve", config], { stdio: ["ignore", "ignore", "pipe"] });
  const url = `http://127.0.0.1:${port}`;
  for (const until = performance.now() + 20_000; ; ) {
    const up = await fetch(`${url}/v2/`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (up) break;
    if (child.exitCode !== null || performance.now() > until) throw new Error("docker-registry did not start");
  }
  return {
    version: stdout.trim().split(" ").slice(-1)[0] ?? stdout.trim(),
    url,
    child,
    async stop() {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    },
  };
}
