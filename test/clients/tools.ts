import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { type Cluster, startCluster } from "../harness/cluster.ts";

const execute = promisify(execFile);

/** Where Go's clients were installed by `.ci/run`, beside the PATH. */
const TOOLS = process.env.ROADSTEAD_TOOLS ?? "";

/** Undefined where the program is not on this machine; in CI that is a failure, not a skip. */
export function program(name: string): string | undefined {
  const folders = [TOOLS, ...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"].filter((folder) => folder !== "");
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (found === undefined && process.env.CI !== undefined) throw new Error(`${name} is not installed, and CI skips nothing`);
  return found;
}

/** The reason for a skip, or undefined: all of `names` are here, and this process may use them. */
export function missing(names: readonly string[], root = false): string | undefined {
  if (root && process.getuid?.() !== 0) return "needs root";
  const absent = names.filter((name) => program(name) === undefined);
  return absent.length === 0 ? undefined : `needs ${absent.join(", ")}`;
}

/** Runs a program to its end and answers its standard output; a failure carries both its streams. */
export async function sh(name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd?: string): Promise<string> {
  try {
    const { stdout } = await execute(program(name) ?? name, [...args], {
      env: { ...process.env, ...env },
      cwd,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${name} ${args.join(" ")}\n${stdout.slice(-4000)}\n${stderr.slice(-4000)}`, { cause: error });
  }
}

export interface Scene {
  /** `host:port` of the node after the one that was named last: each step of a test meets another node. */
  next(): string;
  readonly hosts: readonly string[];
  readonly folder: string;
  readonly cluster: Cluster | undefined;
  close(): Promise<void>;
}

/** A cluster of three processes and a scratch folder. `ROADSTEAD_TARGETS` (host:port, comma separated) names other registries instead. */
export async function openScene(env: NodeJS.ProcessEnv = {}): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), "roadstead-clients-"));
  const targets = process.env.ROADSTEAD_TARGETS?.split(",");
  const cluster = targets === undefined ? await startCluster({ env }) : undefined;
  const hosts = targets ?? cluster!.nodes.map((node) => `127.0.0.1:${node.port}`);
  let turn = 0;
  return {
    hosts,
    folder,
    cluster,
    next: () => hosts[turn++ % hosts.length]!,
    async close() {
      await cluster?.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface Daemon {
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** Starts a daemon and waits until its output holds `ready`. @param within put before the command */
export async function startDaemon(name: string, args: readonly string[], ready: string, within: readonly string[] = []): Promise<Daemon> {
  const [command = "", ...all] = [...within, program(name) ?? name, ...args];
  const child = spawn(command, all, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${name} was not ready in 60 s:\n${said.slice(-3000)}`)), 60_000);
    const read = (chunk: Buffer): void => {
      said += chunk.toString();
      if (!said.includes(ready)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code}:\n${said.slice(-3000)}`)));
  });
  return {
    child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    },
  };
}

/** `mount` entries below `folder` would keep it from being removed. */
export function unmountBelow(folder: string): void {
  const mounts = spawnSync("findmnt", ["-rno", "TARGET"], { encoding: "utf8" }).stdout ?? "";
  for (const target of mounts
    .split("\n")
    .filter((line) => line.startsWith(folder))
    .reverse())
    spawnSync("umount", ["-l", target]);
}

/** Lets podman, buildah and skopeo talk plain HTTP to loopback and accept any signature, without touching the machine's own settings. */
export async function containersEnv(folder: string): Promise<NodeJS.ProcessEnv> {
  const home = join(folder, "home");
  await mkdir(join(home, "run"), { recursive: true });
  await mkdir(join(home, ".config/containers"), { recursive: true });
  await writeFile(join(home, ".config/containers/policy.json"), JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
  await writeFile(join(home, "auth.json"), "{}");
  return { HOME: home, XDG_RUNTIME_DIR: join(home, "run"), REGISTRY_AUTH_FILE: join(home, "auth.json") };
}
