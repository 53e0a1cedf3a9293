import type { Driver } from "../../src/consensus/driver.ts";
import { silentLog } from "../../src/core/log.ts";
import { factsOf } from "../../src/metadata/scenario.ts";
import { type ConfChange, type ConfChangeSingle, LEAVE_JOINT, type Transition } from "../../src/raft/conf-change.ts";
import { keepMembers } from "../../src/upkeep/members.ts";
import type { Cluster } from "./cluster.ts";
import type { FaultAction } from "./faults.ts";
import { JOIN_TOKEN } from "./founding.ts";
import { isConfChangeRecord } from "./log-mirror.ts";
import { NodeClock } from "./node-clock.ts";
import type { Settings } from "./settings.ts";
import type { SimNode } from "./sim-node.ts";

const LOOK_MS = 700;
const NODES_MAX = 7;
/** Nobody says in the catalog here who is down: no vote moves for it. */
const REPLACE_AFTER_MS = 60_000;
const REMOVAL = Buffer.from("member.remove");

/** Who belongs to the cluster: an operator who replaces what is broken, the product's own upkeep at the leader, and changes at random. */
export class MembershipChurn {
  readonly #cluster: Cluster;
  readonly #settings: Settings;
  /** The number in `factsOf` of the next newcomer. */
  #newcomer: number;
  #asking = false;
  /** Proposals that may still come about. */
  #open = 0;

  constructor(cluster: Cluster, settings: Settings) {
    this.#cluster = cluster;
    this.#settings = settings;
    this.#newcomer = settings.shape.voters + settings.shape.learners + 1;
  }

  start(): void {
    this.#cluster.world.every(
      () => LOOK_MS,
      undefined,
      () => this.#look(),
    );
  }

  /** For a node that has opened. */
  keep(node: SimNode, driver: Driver): void {
    const owner = node.process;
    if (owner === undefined) return;
    keepMembers({
      consensus: driver,
      membership: driver,
      votersMax: this.#settings.votersMax,
      replaceAfterMs: REPLACE_AFTER_MS,
      clock: new NodeClock(this.#cluster.world, owner, node.drift),
      log: silentLog,
    });
  }

  /** Whether a member may be about to leave, or some log holds a change of the members or the configuration that has not applied there. */
  changing(): boolean {
    if (this.#open > 0) return true;
    for (const node of this.#cluster.nodes.values()) {
      const { log, applied } = this.#cluster.invariants.witness(node.id);
      // What it has not written yet may be one, also where it leads no more (seed 3376).
      if (node.driver !== undefined && node.driver.status().lastIndex > log.lastIndex) return true;
      for (let index = applied + 1; index <= log.lastIndex; index += 1) {
        const record = log.records.get(index);
        if (record !== undefined && (isConfChangeRecord(record) || isRemoval(record))) return true;
      }
    }
    return false;
  }

  apply(action: FaultAction): void {
    const leader = this.#cluster.leader();
    if (leader === undefined) return;
    const { kind } = action;
    if (kind === "addMember") this.#add(leader.driver);
    else if (kind === "removeMember") this.#remove(leader.driver, action);
    else if (kind === "transfer") this.#transfer(leader.driver, action);
    else this.#change(leader.driver, action);
  }

  #look(): void {
    const leader = this.#cluster.leader();
    if (leader === undefined || this.#asking) return;
    const { votersOutgoing, autoLeave } = leader.driver.configuration();
    if (votersOutgoing.length > 0 && !autoLeave) leader.driver.proposeConfChange(LEAVE_JOINT);
    const members = leader.driver.catalog.members();
    const lost = members.find(({ raftId }) => this.#cluster.nodes.get(raftId)?.gone !== false);
    if (lost !== undefined && members.length > 1)
      this.#propose(leader.driver.propose({ type: "member.remove", raftId: lost.raftId, lost: true }));
    else if (members.length < this.#settings.shape.voters) this.#add(leader.driver);
    this.#retire(leader.driver);
  }

  /** A node that is no member any more and in no configuration ends for good. */
  #retire(leader: Driver): void {
    const { voters, votersOutgoing, learners } = leader.configuration();
    const wanted = new Set([...voters, ...votersOutgoing, ...learners, ...leader.catalog.members().map(({ raftId }) => raftId)]);
    for (const node of this.#cluster.nodes.values()) {
      if (node.gone || wanted.has(node.id) || node.id > leader.status().appliedIndex) continue;
      if (node.running) this.#cluster.crash(node);
      node.gone = true;
    }
  }

  #add(leader: Driver): void {
    if (this.#cluster.nodes.size >= NODES_MAX + this.#settings.shape.voters || this.#asking) return;
    const member = factsOf(this.#newcomer);
    this.#newcomer += 1;
    this.#cluster.count("addMember");
    this.#propose(
      leader.propose({ type: "member.add", member, token: JOIN_TOKEN }).then(({ value, refused }) => {
        if (refused !== undefined || value === undefined || this.#cluster.nodes.has(value)) return;
        this.#cluster.add(value).start();
      }),
    );
  }

  #remove(leader: Driver, { target }: FaultAction): void {
    const members = leader.catalog.members();
    const member = members[Math.floor(target * members.length)];
    if (member === undefined || leader.configuration().voters.length <= 2 || !this.#cluster.spares(member.raftId)) return;
    this.#cluster.count("removeMember");
    this.#propose(leader.propose({ type: "member.remove", raftId: member.raftId, lost: true }));
  }

  #transfer(leader: Driver, { target }: FaultAction): void {
    const { voters } = leader.configuration();
    const to = voters[Math.floor(target * voters.length)];
    if (to === undefined) return;
    this.#cluster.count("transfer");
    leader.transferLeader(to);
  }

  /** One or several changes at random, joint or not; often a second one right behind, which must wait its turn. */
  #change(leader: Driver, { target, strength, variant }: FaultAction): void {
    const random = this.#cluster.world.fork(Math.floor(target * 1e6));
    const candidates = [...this.#cluster.nodes.values()].filter((node) => !node.gone && !node.tampered).map(({ id }) => id);
    const { voters } = leader.configuration();
    if ([...this.#cluster.nodes.values()].some((node) => (node.gone || node.tampered) && voters.includes(node.id))) return;
    const members = new Set(leader.catalog.members().map(({ raftId }) => raftId));
    const draw = (): ConfChangeSingle[] => {
      const nodeId = candidates[Math.floor(random.float() * candidates.length)];
      if (nodeId === undefined || !members.has(nodeId)) return [];
      const dice = random.float();
      // Of two voters to one: where the one that goes leads by then, it steps down with entries that the other lacks, and votes against it for good.
      if (dice >= 0.5 && voters.length <= 2) return [];
      return [{ type: dice < 0.5 ? "addNode" : dice < 0.8 ? "addLearner" : "removeNode", nodeId }];
    };
    // Another set of voters at one go: the halves of a joint configuration then have little in common.
    const redraw = (): ConfChangeSingle[] => {
      const chosen = candidates.filter((id) => members.has(id) && random.float() < 0.5);
      if (chosen.length < 2) return [];
      const joining = chosen.filter((id) => !voters.includes(id)).map((nodeId): ConfChangeSingle => ({ type: "addNode", nodeId }));
      const leaving = voters.filter((id) => !chosen.includes(id)).map((nodeId): ConfChangeSingle => ({ type: "addLearner", nodeId }));
      return [...joining, ...leaving];
    };
    const rounds = strength < 0.5 ? 1 : 2;
    for (let round = 0; round < rounds; round += 1) {
      const changes = variant < 0.3 ? redraw() : draw();
      if (variant >= 0.3 && variant < 0.5) changes.push(...draw());
      const transition: Transition = variant < 0.2 ? "jointExplicit" : variant < 0.4 ? "jointImplicit" : "auto";
      const change: ConfChange = { transition, changes, context: undefined };
      if (changes.length === 0) continue;
      this.#cluster.count(changes.length > 1 ? "jointChange" : "confChange");
      leader.proposeConfChange(change);
    }
  }

  #propose(answer: Promise<unknown>): void {
    const { world } = this.#cluster;
    this.#asking = true;
    this.#open += 1;
    const done = (): void => {
      this.#asking = false;
    };
    let open = true;
    const settled = (): void => {
      if (open) this.#open -= 1;
      open = false;
    };
    answer.then(done, done).then(settled);
    // The node that was asked may be killed, and then no answer comes.
    world.after(4 * LOOK_MS, "client", undefined, done);
    // A clock may run at half the rate.
    world.after(2 * this.#settings.timing.deadlineMs, "client", undefined, settled);
  }
}

/** The name of a command stands in its record as it is. */
function isRemoval(record: Uint8Array): boolean {
  return Buffer.from(record.buffer, record.byteOffset, record.byteLength).includes(REMOVAL);
}
