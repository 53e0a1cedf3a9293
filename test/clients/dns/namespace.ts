import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { isAlive, whyNoNamespaces } from "../../harness/namespaces.ts";
import type { StagePlan } from "./stage.ts";

const run = promisify(execFile);
const PREFIX = "rsdns";
/** Runs the arguments after the first, a file that stands for /etc/resolv.conf. (`ip netns exec` would do it too, but hides the cgroups from dockerd.) */
const WITH_RESOLVER = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"';

/** A network namespace with addresses of its own, a name server, and registries that do not serve. */
export class DnsNamespace {
  readonly name = `${PREFIX}${process.pid}`;
  readonly #resolver: string;
  #stage: ChildProcess | undefined;

  /** @param folder for a file of its own */
  constructor(folder: string) {
    this.#resolver = join(folder, "resolv.conf");
  }

  /** What is put before a command so that it runs there, and asks the name server there. */
  get within(): readonly string[] {
    return ["nsenter", `--net=/run/netns/${this.name}`, "unshare", "--mount", "sh", "-c", WITH_RESOLVER, "sh", this.#resolver];
  }

  /** Makes it, after what runs that are dead have left was removed. @param swallowing addresses at which packets vanish */
  async open(addresses: readonly string[], swallowing: readonly string[], plan: StagePlan): Promise<void> {
    await sweep();
    await run("ip", ["netns", "add", this.name]);
    await run("ip", ["-n", this.name, "link", "set", "lo", "up"]);
    for (const address of [...addresses, ...swallowing]) {
      const bits = isIPv4(address) ? 32 : 128;
      await run("ip", ["-n", this.name, "addr", "add", `${address}/${bits}`, "dev", "lo"]);
    }
    for (const address of swallowing) {
      const tables = isIPv4(address) ? "iptables-legacy" : "ip6tables-legacy";
      await run("ip", ["netns", "exec", this.name, tables, "-A", "INPUT", "-d", address, "-p", "tcp", "-j", "DROP"]);
    }
    await writeFile(this.#resolver, `nameserver ${plan.nameServer}\n`);
    await this.#startStage(plan);
  }

  async #startStage(plan: StagePlan): Promise<void> {
    const [program = "", ...args] = [...this.within, process.execPath, join(import.meta.dirname, "stage.ts"), JSON.stringify(plan)];
    const stage = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#stage = stage;
    const ended = once(stage, "exit").then(([code]) => {
      throw new Error(`the name server of the test ended with ${code}`);
    });
    await Promise.race([once(stage, "message"), ended]);
    ended.catch(() => undefined); // it ends with the test
  }

  async close(): Promise<void> {
    this.#stage?.disconnect();
    await remove(this.name);
  }
}

async function remove(name: string): Promise<void> {
  const { stdout } = await run("ip", ["netns", "pids", name]).catch(() => ({ stdout: "" }));
  for (const pid of stdout.split("\n").filter((line) => line !== "")) process.kill(Number(pid), "SIGKILL");
  await run("ip", ["netns", "del", name]).catch(() => undefined);
}

/** Removes what runs have left that are dead. */
async function sweep(): Promise<void> {
  const { stdout } = await run("ip", ["netns", "list"]);
  for (const line of stdout.split("\n")) {
    const name = line.split(" ")[0] ?? "";
    const pid = new RegExp(`^${PREFIX}(\\d+)$`).exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await remove(name);
  }
}

/** Why there can be none here; undefined where there can. */
export function whyNoNamespace(): string | undefined {
  return whyNoNamespaces(PREFIX);
}
