import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { TOKENS_PATH } from "../../src/cli/token.ts";
import type { ClusterStatus } from "../../src/http/admin.ts";
import { Host } from "./host.ts";
import { HostNetwork } from "./network.ts";

const run = promisify(execFile);
const FOLDER = "roadstead-hosts-";
const LOGS = "roadstead-logs-";
const POLL_MS = 100;
/** How long a step of an administrator may take on a machine that has other things to do. */
const STEP_MS = 60_000;
/** The hosts that have a small disk of their own, so that it can be filled. */
const SMALL_DISK_FROM = 4;
const SMALL_DISK_MIB = 512;

export interface JoinToken {
  readonly token: string;
  readonly join: readonly string[];
}

/** A cluster of hosts, each with an address and a disk of its own. */
export class HostCluster {
  readonly network: HostNetwork;
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #hosts: Host[] = [];
  /** Numbers of the hosts that are members, or are about to be. */
  readonly #members = new Set<number>();
  readonly #leaving = new Set<Host>();
  #removal: Promise<string | undefined> | undefined;

  private constructor(network: HostNetwork, folder: string, env: NodeJS.ProcessEnv) {
    this.network = network;
    this.folder = folder;
    this.env = env;
  }

  /** The network and the folder, no host yet. */
  static async prepare(env: NodeJS.ProcessEnv): Promise<HostCluster> {
    const network = await HostNetwork.create();
    await sweepFolders();
    return new HostCluster(network, await mkdtemp(join(tmpdir(), `${FOLDER}${process.pid}-`)), env);
  }

  /** Makes `count` hosts, and a cluster of them all; all that are to vote do at the end. */
  async found(count: number): Promise<void> {
    const first = await this.addHost();
    await first.start(["--bootstrap"]);
    this.#members.add(first.number);
    for (let at = 2; at <= count; at += 1) await this.join(await this.addHost());
    await this.until("all hosts vote", () => this.isVoting());
  }

  /** The hosts that are members of the cluster, whether their nodes run or not. */
  get members(): readonly Host[] {
    return this.#hosts.filter(({ number }) => this.#members.has(number));
  }

  /** Those that DNS names for the clients: an operator takes one that drains out first. */
  get served(): readonly Host[] {
    return this.members.filter((host) => !this.#leaving.has(host));
  }

  get hosts(): readonly Host[] {
    return this.#hosts;
  }

  /** A host without a node, with the next number. */
  async addHost(): Promise<Host> {
    const number = this.#hosts.length + 1;
    const place = await this.network.addHost(number);
    const diskMib = number >= SMALL_DISK_FROM ? SMALL_DISK_MIB : undefined;
    const host = new Host({ place, folder: this.folder, env: this.env, diskMib });
    await host.makeDisk();
    this.#hosts.push(host);
    return host;
  }

  /** Starts a node on an empty data folder that joins with a token made for it. */
  async join(host: Host): Promise<void> {
    const { join: addresses, token } = (await this.ask("a join token", TOKENS_PATH, { uses: 1, ttl: "1h" })) as JoinToken;
    await host.start(["--join", addresses[0]!, "--token", token]);
    this.#members.add(host.number);
  }

  /** As `join`, in the place of a member whose disk is lost; asked again until that one counts as down. */
  async replace(host: Host, patienceMs: number): Promise<void> {
    let refused: string | undefined;
    const replaced = async (): Promise<boolean> => {
      const { join: addresses, token } = (await this.ask("a join token", TOKENS_PATH, { uses: 1, ttl: "1h" })) as JoinToken;
      refused = await host.tryStart(["--join", addresses[0]!, "--token", token, "--replace", host.name]);
      return refused === undefined;
    };
    await this.until(`${host.name} takes its old place`, replaced, patienceMs, () => refused ?? "");
  }

  /** Moves the copies of a member to the others, takes it out, and leaves its disk empty. */
  async drainAway(host: Host, patienceMs: number): Promise<void> {
    this.#leaving.add(host);
    await this.ask(`the drain of ${host.name}`, "/_roadstead/v1/nodes/drain", { node: host.name });
    const isEmpty = async (): Promise<boolean> => (await this.status()).nodes.find(({ name }) => name === host.name)?.copies === 0;
    await this.until(`the drain of ${host.name} ends`, isEmpty, patienceMs);
    host.mayEnd();
    await this.removeMember(host);
    await host.stop();
    await host.wipe();
    this.#leaving.delete(host);
  }

  /** Takes a member out. Whoever asks sees to its process. */
  async removeMember(host: Host): Promise<void> {
    await this.ask(`the removal of ${host.name}`, "/_roadstead/v1/nodes/remove", { node: host.name }, host);
    this.#members.delete(host.number);
  }

  /** Asks members for what an administrator would, one after the other until one does it. */
  async ask(what: string, path: string, body: unknown, besides?: Host): Promise<unknown> {
    let refused: unknown;
    let answer: unknown;
    await this.until(
      what,
      async () => {
        for (const host of this.members.filter((each) => each.running && each !== besides)) {
          try {
            answer = await host.admin("POST", path, body);
            return true;
          } catch (error) {
            refused = error;
          }
        }
        return false;
      },
      STEP_MS,
      () => String(refused),
    );
    return answer;
  }

  /** As a member sees it that has contact with a majority. */
  async status(): Promise<ClusterStatus> {
    let seen: ClusterStatus | undefined;
    await this.until("a status", async () => {
      for (const host of this.members.filter(({ running }) => running)) {
        const status = await host.status().catch(() => undefined);
        if (status !== undefined && !status.cutOff && status.leader !== undefined) seen = status;
        if (seen !== undefined) return true;
      }
      return false;
    });
    return seen!;
  }

  /** As many vote as are to: an odd number of the members, five at most. */
  async isVoting(): Promise<boolean> {
    const { nodes } = await this.status();
    return nodes.filter(({ role }) => role === "voter").length === Math.min(5, nodes.length - ((nodes.length + 1) % 2));
  }

  /** Whatever was done to hosts and cables is undone, and every member runs. */
  async mendAll(): Promise<void> {
    await this.network.mendAll();
    for (const host of this.members) {
      host.resume();
      await host.freeDisk();
      if (!host.running) await host.start();
    }
  }

  /** No blob has fewer copies than it is to have, as the catalog says. */
  async isWhole(): Promise<boolean> {
    return (await this.status()).underReplicated.blobs === 0;
  }

  /** Every member is up, sees all others and one leader, has applied what is committed, and no blob is short of copies. */
  async lacksForConvergence(): Promise<string | undefined> {
    const members = this.members;
    const silent = members.find(({ running }) => !running);
    if (silent !== undefined) return `${silent.name} does not run`;
    const views = await Promise.all(members.map((host) => host.status().catch((error: unknown) => String(error))));
    for (const [at, view] of views.entries()) {
      const { name } = members[at]!;
      if (typeof view === "string") return `${name} gives no status: ${view}`;
      if (view.cutOff || view.leader === undefined) return `${name} is cut off`;
      if (view.leader !== (views[0] as ClusterStatus).leader) return `${name} has another leader than ${members[0]!.name}`;
      if (view.nodes.length !== members.length) return `${name} lists ${view.nodes.length} members, and there are ${members.length}`;
      const behind = view.nodes.find((node) => !node.alive || node.cutOff === true || (node.appliedIndex ?? 0) < view.commitIndex);
      if (behind !== undefined)
        return `${name} sees ${behind.name} down, cut off or behind (${behind.appliedIndex} of ${view.commitIndex})`;
      if (view.underReplicated.blobs > 0) return `${name} counts ${view.underReplicated.blobs} blobs that are short of copies`;
    }
    return undefined;
  }

  async converged(patienceMs: number): Promise<void> {
    let lacks: string | undefined;
    const look = async (): Promise<boolean> => {
      lacks = await this.lacksForConvergence();
      return lacks === undefined;
    };
    await this.until("the cluster converges", look, patienceMs, () => lacks ?? "");
  }

  /** Looks again and again. @throws Error where it has not come true in time */
  async until(what: string, holds: () => Promise<boolean>, patienceMs = STEP_MS, why: () => string = () => ""): Promise<void> {
    for (const end = performance.now() + patienceMs; performance.now() < end; await pause(POLL_MS)) if (await holds()) return;
    throw new Error(`not within ${patienceMs / 1_000} s: ${what}. ${why()}`.trimEnd());
  }

  /** Ends and removes everything, once. @returns where the logs are kept, if they are to be */
  remove({ keepLogs }: { readonly keepLogs: boolean }): Promise<string | undefined> {
    this.#removal ??= this.#remove(keepLogs);
    return this.#removal;
  }

  async #remove(keepLogs: boolean): Promise<string | undefined> {
    await Promise.all(this.#hosts.map((host) => host.kill()));
    for (const host of this.#hosts) await host.removeDisk();
    await this.network.remove();
    let kept: string | undefined;
    if (keepLogs) {
      kept = await mkdtemp(join(tmpdir(), LOGS));
      for (const { logFile } of this.#hosts) await cp(logFile, join(kept, basename(logFile))).catch(() => undefined); // one that never started has none
    }
    await rm(this.folder, { recursive: true, force: true });
    return kept;
  }
}

/** Data folders of runs that are dead, with the disks that are mounted on them. */
async function sweepFolders(): Promise<void> {
  const isDead = (folder: string): boolean => {
    const pid = /^roadstead-hosts-(\d+)-/.exec(folder)?.[1];
    if (pid === undefined) return false;
    try {
      process.kill(Number(pid), 0);
      return false;
    } catch {
      return true;
    }
  };
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const mount of mounts) if (isDead(basename(dirname(mount)))) await run("umount", ["--lazy", mount]);
  for (const name of (await readdir(tmpdir())).filter(isDead)) await rm(join(tmpdir(), name), { recursive: true, force: true });
}
