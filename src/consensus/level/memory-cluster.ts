import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import type { RaftId } from "../../core/peer.ts";
import { seededRandom } from "../../core/random.ts";
import type { Command } from "../../metadata/commands.ts";
import { factsOf, SECRET_HASH } from "../../metadata/scenario.ts";
import type { Storage } from "../database.ts";
import type { Driver } from "../driver.ts";
import { MemoryNetwork } from "../memory-transport.ts";
import { openConsensus } from "../open-consensus.ts";
import type { Timing } from "../timing.ts";
import { levelStorage } from "./level-storage.ts";

/** Elections take 200 to 400 ms here. */
const FAST: Partial<Timing> = { tickMs: 20, contactMs: 300, resendMs: 200, readRoundMs: 200, clockTickMs: 1_000, sealEntries: 8 };

/** Nodes with real logs and catalogs in one process, over a network whose links can be cut. For tests. */
export class MemoryCluster {
  readonly network = new MemoryNetwork({ clock: systemClock, random: seededRandom(7), delayMsMax: 1 });
  readonly nodes = new Map<RaftId, Driver>();
  readonly failures: Error[] = [];
  /** What nodes that are opened from now on keep their log and catalog on. */
  storageOf: (id: RaftId, folder: string) => Storage = (_id, folder) => levelStorage(folder);
  clusterId = "test";
  formerCluster: string | undefined;
  readonly #root: string;
  readonly #timing: Partial<Timing>;
  #opens = 0;
  #known: readonly RaftId[] = [];

  /** Without any node yet. */
  constructor(root: string, timing: Partial<Timing> = {}) {
    this.#root = root;
    this.#timing = { ...FAST, ...timing };
  }

  /** Nodes 1 to `voters`, which make a cluster; it is initialised with node 1 as its member and the others added. */
  static async create(voters: number, timing: Partial<Timing> = {}): Promise<MemoryCluster> {
    const cluster = new MemoryCluster(await mkdtemp(join(tmpdir(), "cluster-")), timing);
    const ids = Array.from({ length: voters }, (_, at) => at + 1);
    await Promise.all(ids.map((id) => cluster.open(id, ids)));
    if (voters > 0) await cluster.initialise();
    return cluster;
  }

  async initialise(): Promise<void> {
    const leader = await this.leader();
    await leader.propose({ type: "cluster.init", clusterId: this.clusterId, publicKey: new Uint8Array(4), member: factsOf(1) });
  }

  folder(id: RaftId): string {
    return join(this.#root, `n${id}`);
  }

  /** Opens a node on its folder; without `voters` it waits to be told by a leader. */
  async open(id: RaftId, voters?: readonly RaftId[], folder = this.folder(id)): Promise<Driver> {
    this.#opens += 1;
    this.#known = [...new Set([...this.#known, id])];
    const driver = await openConsensus({
      storage: this.storageOf(id, folder),
      raftId: id,
      clusterId: this.clusterId,
      formerCluster: this.formerCluster,
      peers: () => this.#known.filter((known) => known !== id),
      bootstrap: voters === undefined ? undefined : { voters },
      transport: this.network.transport(id),
      clock: systemClock,
      random: seededRandom(id * 7919 + this.#opens),
      log: silentLog,
      fatal: (error) => this.failures.push(error),
      timing: this.#timing,
    });
    this.nodes.set(id, driver);
    return driver;
  }

  async stop(id: RaftId): Promise<void> {
    const driver = this.node(id);
    this.nodes.delete(id);
    await driver.close();
  }

  node(id: RaftId): Driver {
    const driver = this.nodes.get(id);
    if (driver === undefined) throw new Error(`node ${id} is not open`);
    return driver;
  }

  /** The node that leads and that the nodes of `among` follow. */
  async leader(among: readonly RaftId[] = [...this.nodes.keys()]): Promise<Driver> {
    let found: Driver | undefined;
    const failed = this.failures.length;
    await this.until(() => {
      // One that has ended follows nobody any more: the wait would have no end.
      if (this.failures.length > failed) throw this.failures[failed];
      found = among.map((id) => this.node(id)).find((node) => node.leads());
      return found !== undefined && among.every((id) => this.node(id).status().leader === found?.self);
    });
    return found as Driver;
  }

  async followers(): Promise<readonly Driver[]> {
    const leader = await this.leader();
    return [...this.nodes.values()].filter((node) => node !== leader);
  }

  /** Looks again with each tick: elections and contact have no event that everyone sees. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }

  async close(): Promise<void> {
    // All at once would hand leadership from one to the next.
    for (const node of this.nodes.values()) node.fail(new Error("the test is over"));
    await Promise.all([...this.nodes.values()].map((node) => node.close()));
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** A command whose effect can be counted: one more token. */
export function tokenCommand(id: string): Command {
  return { type: "token.create", id, hash: SECRET_HASH, uses: 1, ttlMs: 600_000 };
}
