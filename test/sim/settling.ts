import type { Driver } from "../../src/consensus/driver.ts";
import { decode } from "../../src/core/codec.ts";
import type { Clients } from "./clients.ts";
import type { Cluster } from "./cluster.ts";
import type { Rows } from "./disk/volume.ts";
import { sameBytes } from "./log-mirror.ts";
import type { Settings } from "./settings.ts";
import type { SimNode } from "./sim-node.ts";
import { ViolationError } from "./world.ts";

const LEADER_TIMEOUTS = 10;
const SETTLED_MS = 60_000;
const LOOK_STEPS = 16;

/** The end of a seed, in good weather: what was in disorder must come right by itself, within a bound. */
export class Settling {
  readonly #cluster: Cluster;
  readonly #clients: Clients;
  readonly #startedAt: number;
  readonly #leaderBy: number;
  readonly #notBefore: number;
  #leaderSeen = false;
  /** Of the last requests, which each node must answer. */
  #serves: ((configured: readonly number[]) => string | undefined) | undefined;
  #lookAt = 0;

  /** @param notBefore the step before which it does not end: nodes have to serve again and again until then */
  constructor(cluster: Cluster, settings: Settings, clients: Clients, notBefore: number) {
    this.#cluster = cluster;
    this.#clients = clients;
    this.#notBefore = notBefore;
    this.#startedAt = cluster.world.now;
    // An election timeout is drawn from one to two of the base; nodes that start take a while, and clocks may have been set apart.
    const { tickMs, electionTicks, deadlineMs } = settings.timing;
    this.#leaderBy = this.#startedAt + LEADER_TIMEOUTS * 4 * tickMs * electionTicks + deadlineMs;
  }

  done(): boolean {
    const { world } = this.#cluster;
    if (world.steps < this.#lookAt) return false;
    this.#lookAt = world.steps + LOOK_STEPS;
    const leader = this.#cluster.leader();
    this.#leaderSeen ||= leader !== undefined;
    if (!this.#leaderSeen && world.now > this.#leaderBy) this.#fail("a leader is found", "no leader long after the faults have healed");
    const reason = leader === undefined ? "there is no leader" : this.#unsettled(leader.driver);
    if (reason === undefined) {
      this.#serves = undefined;
      return world.steps >= this.#notBefore;
    }
    if (world.now > this.#startedAt + SETTLED_MS) this.#fail("the cluster settles", reason);
    return false;
  }

  #unsettled(leader: Driver): string | undefined {
    const { world } = this.#cluster;
    const { voters, votersOutgoing, learners } = leader.configuration();
    if (votersOutgoing.length > 0) return `the configuration is still joint: [${voters}] and [${votersOutgoing}]`;
    const lastIndex = leader.lastIndex();
    if (leader.position().appliedIndex !== lastIndex) return `the leader has applied ${leader.position().appliedIndex} of ${lastIndex}`;
    const members = new Set(leader.catalog.members().map(({ raftId }) => raftId));
    for (const id of [...voters, ...learners]) {
      const node = this.#cluster.nodes.get(id);
      if (node?.driver === undefined) return `node ${id} is not up`;
      const { appliedIndex } = node.driver.position();
      if (appliedIndex !== lastIndex) return `node ${id} has applied ${appliedIndex} of ${lastIndex}`;
      if (!sameBytes(node.driver.seal(), leader.seal()))
        this.#fail("state machine safety", `node ${id} ends with another state than the leader`);
      if (!members.has(id)) return `node ${id} is no member and still in the configuration`;
    }
    for (const id of members) if (!voters.includes(id) && !learners.includes(id)) return `member ${id} is not in the configuration`;
    for (const { raftId, state } of leader.progress())
      if (raftId !== leader.self && state !== "replicate") return `${raftId} is in ${state}`;
    const configured = [...voters, ...learners];
    this.#serves ??= this.#clients.serve(configured.map((id) => this.#cluster.nodes.get(id)!));
    const silent = this.#serves(configured);
    if (silent !== undefined) return silent;
    if (this.#clients.waiting > 0) return `${this.#clients.waiting} requests wait`;
    return world.steps < this.#notBefore ? undefined : this.#compareAll(configured, leader.self, lastIndex);
  }

  /** Rows, not seals alone: a seal tells of what entries have written, and not whether all of it is still there. */
  #compareAll(ids: readonly number[], leader: number, index: number): string | undefined {
    const others = stateOf(this.#cluster.nodes.get(leader)!, index);
    if (others === undefined) return `the leader has not written entry ${index}`;
    for (const id of ids) {
      const rows = id === leader ? others : stateOf(this.#cluster.nodes.get(id)!, index);
      if (rows === undefined) return `node ${id} has not written entry ${index}`;
      this.#compare(id, rows, others, index);
    }
    return undefined;
  }

  #compare(id: number, rows: Rows, others: Rows, index: number): void {
    for (const key of new Set([...rows.keys(), ...others.keys()])) {
      const own = rows.get(key);
      const other = others.get(key);
      if (own !== undefined && other !== undefined && sameBytes(own, other)) continue;
      const what = own === undefined ? "lacks" : other === undefined ? "has, and the leader has not," : "has another value in";
      this.#fail("state machine safety", `node ${id} ${what} the row ${JSON.stringify(key)} at entry ${index}`);
      return;
    }
  }

  #fail(invariant: string, message: string): void {
    this.#cluster.world.fail(new ViolationError(invariant, message));
  }
}

const CATALOG = "c";

/** The catalog as the node's disk has it; undefined where it is not there as of `index` yet. */
function stateOf(node: SimNode, index: number): Rows | undefined {
  const rows = node.disk.catalog.written();
  const head = rows.get("m");
  if (head === undefined || (decode(head) as { readonly index: number }).index !== index) return undefined;
  return new Map([...rows].filter(([key]) => key.startsWith(CATALOG)));
}
