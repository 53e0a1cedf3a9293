import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { takenPorts } from "../../cluster/ports.ts";
import { pullImage, pushImage } from "../harness/client.ts";
import { makeImage } from "../harness/image.ts";

const ROOT = join(import.meta.dirname, "../..");
const LAUNCHER = join(ROOT, "cluster/local.ts");
const NODES = 3;
const P2P_OFFSET = 100;
const GONE_MS = 60_000;

let folder: string;
let basePort: number;
let running: Launcher | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-launcher-"));
  basePort = await freeBase();
});
afterAll(async () => {
  running?.child.kill("SIGKILL"); // its nodes end with it
  await untilFree();
  await rm(folder, { recursive: true, force: true });
});

function portsFrom(base: number): number[] {
  return Array.from({ length: NODES }, (_, index) => [base + index, base + P2P_OFFSET + index]).flat();
}

/** Below the ports that the system gives to clients and those of the other tests; another one for each process of a test run. */
async function freeBase(): Promise<number> {
  for (let base = 10_000 + (process.pid % 40) * 200; base < 20_000; base += 200) {
    if ((await takenPorts(portsFrom(base))).length === 0) return base;
  }
  throw new Error("no free ports for a cluster from 10000 to 20000");
}

async function untilFree(): Promise<void> {
  for (const until = performance.now() + GONE_MS; ; ) {
    const taken = await takenPorts(portsFrom(basePort));
    if (taken.length === 0) return;
    if (performance.now() > until) throw new Error(`something still listens on ${taken.join(", ")}`);
  }
}

interface Launcher {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown[]>;
  stdout: string;
  stderr: string;
}

/** Starts it as npm does, by a shell, to which npm passes the signals on; waits until it has told all it has to tell. */
async function launch(): Promise<Launcher> {
  const { cluster } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")).scripts;
  const args = ["-c", `${cluster} "$@"`, "sh", "--base-port", String(basePort), "--data", folder];
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };
  const child = spawn("sh", args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
  const launcher: Launcher = { child, ended: once(child, "close"), stdout: "", stderr: "" };
  running = launcher;
  child.stderr.on("data", (text) => (launcher.stderr += text));
  await new Promise<void>((resolve, reject) => {
    child.stdout.on("data", (text) => {
      launcher.stdout += text;
      if (launcher.stdout.includes("Ctrl-C")) resolve();
    });
    void launcher.ended.then(() => reject(new Error(`the launcher has ended: ${launcher.stdout}${launcher.stderr}`)));
  });
  return launcher;
}

const urlOf = (index: number): string => `http://127.0.0.1:${basePort + index}`;
const image = makeImage(12, 2, 200_000);

test("the launcher prints addresses, the leader and four lines to try, with no warning, and the cluster works at once", async () => {
  const { stdout, stderr } = await launch();
  expect(stderr).toBe("");
  const lines = stdout.split("\n");
  expect(lines[0], "nothing stands above").toMatch(/^roadstead: a cluster of 3 nodes is ready; data and logs in /);
  const nodes = lines.filter((line) => /^ {2}node-\d {2}/.test(line));
  expect(nodes.map((line) => line.replace(/ {2}leader$/, ""))).toEqual([0, 1, 2].map((index) => `  node-${index + 1}  ${urlOf(index)}`));
  expect(nodes.filter((line) => line.endsWith("  leader"))).toHaveLength(1);
  const tries = lines.slice(lines.findIndex((line) => line.startsWith("Try")) + 1).filter((line) => line.startsWith("  "));
  expect(tries.map((line) => line.trim().split(" ")[0])).toEqual(["docker", "podman", "skopeo", "curl"]);
  for (const line of tries)
    expect(line, "an address of this cluster").toMatch(new RegExp(`127\\.0\\.0\\.1:${basePort.toString().slice(0, -1)}\\d`));
  await pushImage(() => urlOf(0), "try/app", "v1", image);
  await pullImage(urlOf(1), "try/app", "v1", image);
  await pullImage(urlOf(2), "try/app", "v1", image);
  for (const name of ["node-1", "node-2", "node-3"]) {
    const log = (await readFile(join(folder, `${name}.log`), "utf8")).trimEnd().split("\n");
    expect(
      log.filter((line) => !/^\{"level":"(?:info|warn)"/.test(line)),
      `errors of the node or warnings of Node in the log of ${name}`,
    ).toEqual([]);
  }
});

/** @returns the one line by which it refuses to start */
async function refusal(...args: readonly string[]): Promise<string> {
  // one that starts after all is stopped, with its nodes
  const child = spawn(process.execPath, [LAUNCHER, "--base-port", String(basePort), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: GONE_MS,
  });
  let stderr = "";
  child.stderr.on("data", (text) => (stderr += text));
  const [code] = await once(child, "close");
  expect(code).toBe(1);
  expect(stderr.trimEnd().split("\n"), stderr).toHaveLength(1);
  return stderr;
}

test("a second launcher on the same ports is refused, and the first goes on", async () => {
  const stderr = await refusal("--nodes", "1", "--data", join(folder, "second"));
  expect(stderr).toMatch(new RegExp(`${basePort}.* taken: stop what listens there.*--base-port`));
  await pullImage(urlOf(1), "try/app", "v1", image);
});

test("SIGINT stops all nodes in order and leaves none; started again they have their data", async () => {
  const first = running!;
  first.child.kill("SIGINT");
  expect(await first.ended).toEqual([0, null]);
  expect(first.stdout).toMatch(/Stopping \.\.\. all stopped\.\n$/);
  expect(first.stderr).toBe("");
  expect(await takenPorts(portsFrom(basePort)), "a node that is left").toEqual([]);
  expect(await refusal("--nodes", "1", "--data", folder), "one of three can write nothing").toMatch(
    / has 3 nodes: leave --nodes out, .*--fresh/,
  );

  const again = await launch();
  expect(again.stderr).toBe("");
  expect(again.stdout).toMatch(/ {2}leader\n/);
  for (const index of [0, 1, 2]) await pullImage(urlOf(index), "try/app", "v1", image);
});

test("nodes end with a launcher that was killed", async () => {
  const { child, ended } = running!;
  child.kill("SIGKILL");
  await ended;
  await untilFree();
});
