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

/** Requests a second by wrk, one thread, over `seconds`; any answer that is not 2xx or 3xx fails the row. */
export async function requestRate(
  url: string,
  options: { connections: number; seconds: number; head?: boolean; headers?: readonly string[] },
): Promise<number> {
  const script = options.head ? ["-s", new URL("./head.lua", import.meta.url).pathname] : [];
  const headers = (options.headers ?? []).flatMap((header) => ["-H", header]);
  const said = await onLoadCore("wrk", ["-t1", `-c${options.connections}`, `-d${options.seconds}s`, ...script, ...headers, url]);
  if (/Non-2xx|Socket errors/.test(said)) throw new Error(`wrk ${url}:\n${said}`);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(said)?.[1];
  if (rate === undefined) throw new Error(`wrk said nothing to read:\n${said}`);
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
