import { orderedIndex } from "../../src/consensus/database.ts";
import { decodeLink } from "../../src/consensus/seal-chain.ts";
import type { PeerMessage } from "../../src/consensus/transport.ts";
import { decode } from "../../src/core/codec.ts";
import type { AppliedCommand } from "../../src/metadata/apply-entry.ts";
import type { Batch, Rows } from "./disk/volume.ts";
import { ElectionRules } from "./election-rules.ts";
import { FollowerRules } from "./follower-rules.ts";
import { LeaderRules } from "./leader-rules.ts";
import { isConfChangeRecord, LogMirror, sameBytes, termOf } from "./log-mirror.ts";
import { ReadRules } from "./read-rules.ts";
import { SnapshotRules } from "./snapshot-rules.ts";
import { type CatalogMeta, StateRules } from "./state-rules.ts";
import { committingAt, configured, isQuorum, rules, type Witness } from "./witness.ts";
import { ViolationError, type World } from "./world.ts";

type RaftMessage = Extract<PeerMessage, { kind: "raft" }>["message"];

interface SeenEntry {
  readonly record: Uint8Array;
  readonly previousTerm: number | undefined;
}

/** Holds the whole cluster to the rules of Raft, from what nodes write and say. Every check touches only what has changed. */
export class Invariants {
  readonly #world: World;
  readonly #witnesses = new Map<number, Witness>();
  readonly #elections: ElectionRules;
  readonly #leaders: LeaderRules;
  readonly #followers: FollowerRules;
  readonly #states: StateRules;
  readonly #reads: ReadRules;
  readonly snapshots: SnapshotRules;
  /** By index, then term: the entry, and the term of the one before it. */
  readonly #entries: Map<number, SeenEntry>[] = [];
  readonly #committed: (Uint8Array | undefined)[] = [];
  #commitIndex = 0;
  readonly #retired = new Set<number>();

  constructor(world: World) {
    this.#world = world;
    const fail = (invariant: string, message: string): void => this.#fail(invariant, message);
    this.#elections = new ElectionRules(fail);
    this.#leaders = new LeaderRules(fail);
    this.#followers = new FollowerRules(fail);
    this.#states = new StateRules(fail);
    this.snapshots = new SnapshotRules(fail);
    this.#reads = new ReadRules(fail, () => world.steps);
  }

  /** From now on nothing of this identity counts, since nobody takes anything of it: what it promised before stands. */
  retire(id: number): void {
    this.#retired.add(id);
  }

  /** All up to it is committed, as far as anyone has said or applied. */
  get commitIndex(): number {
    return this.#commitIndex;
  }

  witness(id: number): Witness {
    const known = this.#witnesses.get(id);
    if (known !== undefined) return known;
    const witness: Witness = {
      id,
      log: new LogMirror(),
      applied: 0,
      installed: 0,
      configurations: [],
      running: undefined,
      ruling: undefined,
      committed: undefined,
      campaigning: undefined,
      leading: undefined,
      tampered: false,
      committedBefore: 0,
      promised: { term: 0, index: 0 },
      committedFloor: 0,
    };
    this.#witnesses.set(id, witness);
    return witness;
  }

  /** A log as an image has it, before anything happens. */
  founded(id: number, rows: { readonly log: Rows; readonly catalog: Rows }): void {
    const witness = this.witness(id);
    witness.log.load(rows.log);
    witness.log.durable = { term: witness.log.hardState.term, vote: witness.log.hardState.vote, lastIndex: witness.log.lastIndex };
    this.catalogOpened(id, rows.catalog);
    witness.committedFloor = witness.log.hardState.commit;
    const records = [...witness.log.records].sort(([a], [b]) => a - b);
    for (const [index, record] of records) if (index <= witness.applied) this.#commit(witness, index, record);
    for (const [index, record] of records) this.#noteEntry(witness, index, record);
  }

  /**
   * @param rows what an open has found
   * @returns to be called once the node has taken it for good: then it must be all that was synced
   */
  logOpened(id: number, rows: Rows): () => void {
    if (this.#retired.has(id)) return () => undefined;
    const { log } = this.witness(id);
    const before = { records: new Map(log.records), unsure: log.takeUnsure(), durable: log.durable, base: log.base };
    const readable = log.load(rows);
    const { term, vote } = log.hardState;
    const found = { records: new Map(log.records), base: log.base, hardState: { term, vote } };
    const witness = this.witness(id);
    witness.committedFloor = Math.max(witness.committedFloor, log.hardState.commit);
    if (readable) log.durable = { term, vote, lastIndex: log.lastIndex };
    return () => {
      if (!readable && before.durable.lastIndex > 0) this.#fail("corruption is detected", `node ${id} opened a log without a head record`);
      if (!readable) return;
      this.#elections.stands(id, before.durable, found.hardState, "over a restart");
      for (let index = Math.max(before.base.index, found.base.index) + 1; index <= before.durable.lastIndex; index += 1) {
        const old = before.unsure.has(index) ? undefined : before.records.get(index);
        const now = found.records.get(index);
        if (old !== undefined && (now === undefined || !sameBytes(old, now))) {
          this.#fail(
            "corruption is detected",
            `node ${id} has lost or altered its entry ${index}, which was synced, and opened all the same`,
          );
        }
      }
    };
  }

  logWriting(id: number, batch: Batch): void {
    if (this.#retired.has(id)) return;
    this.witness(id).log.begin(batch);
  }

  logWritten(id: number, batch: Batch, sync: boolean): void {
    if (this.#retired.has(id)) return;
    const witness = this.witness(id);
    const before = witness.log.hardState;
    const meta = witness.log.write(batch, sync, (index, record) => this.#noteEntry(witness, index, record));
    if (meta === undefined) return;
    this.#elections.stands(id, before, meta.hardState, "in a write");
    this.#followers.wrote(witness, before, meta.hardState, this.#elections.leaderOf(before.term) === id);
    const { promised } = witness;
    if (meta.hardState.term === promised.term && meta.lastIndex < promised.index) {
      this.#fail(
        "an acknowledged entry stays",
        `node ${id} acknowledged ${promised.index} in term ${promised.term}; its log ends at ${meta.lastIndex}`,
      );
    }
    const { commit } = meta.hardState;
    for (let at = this.#commitIndex + 1; at <= commit; at += 1) this.#commit(witness, at, witness.log.records.get(at));
    this.#world.hash.add(meta.hardState.term * 31 + meta.lastIndex);
  }

  catalogOpened(id: number, rows: Rows): void {
    if (this.#retired.has(id)) return;
    const witness = this.witness(id);
    const head = rows.get("m");
    if (head === undefined) return;
    const meta = decode(head) as CatalogMeta;
    const link = rows.get(`s${orderedIndex(meta.index)}`);
    witness.installed = meta.installed;
    this.#applied(witness, meta, link, false);
    // What has applied was committed, though the hard state that says so may have missed its sync.
    witness.committedFloor = Math.max(witness.committedFloor, meta.index);
  }

  /** A snapshot has taken the place of a running node's catalog: what had applied is in it. */
  catalogReplaced(id: number, rows: Rows): void {
    if (this.#retired.has(id)) return;
    const head = rows.get("m");
    const { index } = head === undefined ? { index: 0 } : (decode(head) as CatalogMeta);
    const { applied } = this.witness(id);
    if (index < applied) this.#fail("what has applied stays", `node ${id} has applied ${applied}, and installs a snapshot of ${index}`);
    this.catalogOpened(id, rows);
  }

  catalogWritten(id: number, batch: Batch): void {
    if (this.#retired.has(id)) return;
    const witness = this.witness(id);
    let meta: CatalogMeta | undefined;
    let link: Uint8Array | undefined;
    for (const operation of batch) {
      if (operation.type === "put" && operation.key === "m") meta = decode(operation.value) as CatalogMeta;
      else if (operation.type === "put" && operation.key[0] === "s") link = operation.value;
    }
    if (meta !== undefined) this.#applied(witness, meta, link, true);
  }

  /** An entry has applied in a running node, which its catalog on the disk does not show yet. @param last of those that have */
  entryApplied(id: number, index: number, seal: Uint8Array, last: boolean): void {
    if (this.#retired.has(id)) return;
    const witness = this.witness(id);
    this.#commit(witness, index, witness.log.records.get(index));
    witness.applied = Math.max(witness.applied, index);
    const conf = witness.running?.();
    if (conf !== undefined) configured(witness, conf);
    this.#states.entry(id, index, last ? conf : undefined);
    this.#checkSeal(witness, index, seal);
  }

  did(id: number, applied: AppliedCommand): void {
    if (!this.#retired.has(id)) this.#states.did(id, applied);
  }

  /** What a node says, when it leaves. */
  sent(from: number, message: RaftMessage): void {
    if (this.#retired.has(from)) return;
    const witness = this.witness(from);
    this.#reads.sent(witness, message);
    switch (message.type) {
      case "append":
      case "heartbeat":
      case "snapshot":
        this.#elections.leads(witness, message.term);
        rules(witness);
        if (!this.#retired.has(message.to)) this.#leaders.counted(witness, this.witness(message.to), message.term);
        if (message.type === "append") {
          this.#leaders.sends(witness, message);
          this.#leaders.proposed(witness, message);
          this.#announced(witness, message.commit, message.term);
        }
        // It tells of no more than its receiver is known to have, which may be less than the leader has committed.
        if (message.type === "heartbeat") this.#announced(witness, message.commit, undefined);
        break;
      case "voteReply":
        if (!message.rejected) this.#elections.voted(witness, this.witness(message.to), message.term);
        else this.#told(witness, this.witness(message.to), message.committed);
        break;
      case "preVoteReply":
        if (message.rejected) this.#told(witness, this.witness(message.to), message.committed);
        break;
      case "vote":
      case "preVote":
        this.#elections.asked(witness, message, (index) => this.#committed[index]);
        break;
      case "appendReply":
        if (!message.rejected) this.#acknowledged(witness, message.to, message.term, message.index);
        break;
      default:
        break;
    }
  }

  /** What a node hears, before it looks at it. */
  heard(id: number, message: RaftMessage): void {
    this.#reads.heard(id, message);
  }

  /** It has become leader, or says so. */
  leads(id: number, term: number): void {
    if (!this.#retired.has(id)) this.#elections.leads(this.witness(id), term);
  }

  /** The entry that a client was told of is there for good. */
  acknowledged(index: number): void {
    if (index > this.#commitIndex) {
      this.#fail("no acknowledged write is lost", `a client was answered by entry ${index}, but only ${this.#commitIndex} are committed`);
    }
  }

  #acknowledged(witness: Witness, to: number, term: number, index: number): void {
    const { id, log } = witness;
    const { durable } = log;
    if (term > witness.promised.term || index > witness.promised.index) witness.promised = { term, index };
    if (durable.term < term) {
      this.#fail("a promise is durable", `node ${id} acknowledged entry ${index} in term ${term}; synced is the term ${durable.term}`);
    }
    if (durable.term === term && index > Math.max(durable.lastIndex, log.base.index)) {
      this.#fail("a promise is durable", `node ${id} acknowledged entry ${index}; synced are ${durable.lastIndex}`);
    }
    const leader = this.#elections.leaderOf(term) === to ? this.#witnesses.get(to)?.log : undefined;
    if (leader === undefined || durable.term !== term) return;
    const own = log.termAt(index);
    const theirs = leader.termAt(index);
    if (leader.hardState.term === term && own !== undefined && theirs !== undefined && own !== theirs) {
      this.#fail(
        "log matching",
        `node ${id} acknowledged entry ${index} to leader ${to}, but has it of term ${own} and the leader of ${theirs}`,
      );
    }
  }

  /** Who refuses a vote may tell of what is committed, and where the candidate has the entry it may take that as verified. */
  #told(witness: Witness, candidate: Witness, committed: { readonly index: number; readonly term: number } | undefined): void {
    if (committed === undefined) return;
    this.#announced(witness, committed.index, undefined);
    const { index, term } = committed;
    if (candidate.log.termAt(index) === term) candidate.committedFloor = Math.max(candidate.committedFloor, index);
  }

  /** A commit index that a leader tells of: a majority of each half of its configuration holds the entry on stable storage. */
  #announced(witness: Witness, index: number, leaderTerm: number | undefined): void {
    if (index <= this.#commitIndex) return;
    // The leader's own disk may be behind those of the others.
    const holder = [witness, ...this.#witnesses.values()].find(({ log }) => this.#isHeld(witness, index, log.termAt(index)));
    if (holder === undefined) {
      const conf = JSON.stringify(witness.configurations);
      this.#fail("commit needs a quorum", `node ${witness.id} told of commit ${index}, which no quorum of ${conf} has on its disks`);
      return;
    }
    // Raft paper, 5.4.2 and figure 8: what nobody knew to be committed before, it commits by an entry of its own term.
    const term = holder.log.termAt(index);
    if (leaderTerm !== undefined && term !== leaderTerm && index > witness.committedBefore) {
      this.#fail(
        "only entries of its own term are committed by counting",
        `node ${witness.id} of term ${leaderTerm} commits ${index} of ${term}`,
      );
    }
    for (let at = this.#commitIndex + 1; at <= index; at += 1) this.#commit(holder, at, holder.log.records.get(at));
  }

  /** @returns whether a majority of each half of the leader's configuration, or of one that it had when it committed the entry, holds it */
  #isHeld(leader: Witness, index: number, term: number | undefined): boolean {
    if (term === undefined) return false;
    return committingAt(leader, index).some((conf) => isQuorum(conf, (half) => this.#holders(half, index, term)));
  }

  #holders(half: readonly number[], index: number, term: number): number {
    let count = 0;
    for (const id of half) {
      const log = this.#witnesses.get(id)?.log;
      if (log === undefined) continue;
      if (log.base.index >= index || (log.durable.lastIndex >= index && log.termAt(index) === term)) count += 1;
    }
    return count;
  }

  #commit({ id }: Witness, index: number, record: Uint8Array | undefined): void {
    this.#commitIndex = Math.max(this.#commitIndex, index);
    if (record === undefined) return;
    const known = this.#committed[index];
    if (known === undefined) this.#committed[index] = record;
    else if (!sameBytes(known, record)) {
      const terms = `terms ${termOf(known)} and ${termOf(record)}`;
      this.#fail("state machine safety", `entry ${index} was committed, and at node ${id} it is another one (${terms})`);
    }
  }

  #applied(witness: Witness, meta: CatalogMeta, link: Uint8Array | undefined, inOrder: boolean): void {
    const { index, confState } = meta;
    if (inOrder) for (let at = witness.applied + 1; at <= index; at += 1) this.#commit(witness, at, witness.log.records.get(at));
    this.#commitIndex = Math.max(this.#commitIndex, index);
    // A running node is ahead of what it writes.
    if (!inOrder || index >= witness.applied) {
      witness.applied = index;
      configured(witness, confState);
    }
    this.#states.configured(witness.id, index, confState);
    const seal = link === undefined ? undefined : decodeLink(link)?.value;
    if (seal !== undefined) this.#checkSeal(witness, index, seal);
  }

  #checkSeal(witness: Witness, index: number, seal: Uint8Array): void {
    this.#world.hash.add(index * 257 + (seal[0] ?? 0));
    this.#states.sealed(witness.id, index, seal);
  }

  /** Log matching (Raft paper, 5.3): an entry of one index and term is the same in every log, and so is the one before it. */
  #noteEntry(witness: Witness, index: number, record: Uint8Array): void {
    const term = termOf(record);
    const previousTerm = witness.log.termAt(index - 1);
    const byTerm = this.#entries[index] ?? new Map<number, SeenEntry>();
    this.#entries[index] = byTerm;
    const known = byTerm.get(term);
    if (known === undefined) {
      byTerm.set(term, { record, previousTerm });
      this.#leaders.begins(witness, index, term, { index: this.#commitIndex, record: this.#committed[this.#commitIndex] });
    } else if (!sameBytes(known.record, record)) {
      this.#fail("log matching", `the entry ${index} of term ${term} is another one at node ${witness.id}`);
    } else if (known.previousTerm !== undefined && previousTerm !== undefined && known.previousTerm !== previousTerm) {
      const both = `${previousTerm} at node ${witness.id}, of ${known.previousTerm} elsewhere`;
      this.#fail("log matching", `before the entry ${index} of term ${term} stands one of term ${both}`);
    }
    // Where a snapshot came in while entries were on their way to the disk, the log is told of it after them.
    const overtaken = index <= witness.installed && witness.log.base.index < witness.installed;
    if (index <= witness.applied && !overtaken) {
      const committed = this.#committed[index];
      if (committed !== undefined && !sameBytes(committed, record)) {
        this.#fail("state machine safety", `node ${witness.id} replaces the entry ${index}, which it has applied`);
      }
    }
    if (known === undefined && isConfChangeRecord(record)) this.#checkConfChange(witness, index);
  }

  /** Dissertation, 4.1: a configuration change is proposed only where all before it have applied, so where they are committed. */
  #checkConfChange(witness: Witness, index: number): void {
    for (let at = this.#commitIndex + 1; at < index; at += 1) {
      const record = witness.log.records.get(at);
      if (record === undefined || !isConfChangeRecord(record)) continue;
      this.#fail("one configuration change at a time", `node ${witness.id} has a change at ${index}, and an uncommitted one at ${at}`);
    }
  }

  #fail(invariant: string, message: string): void {
    this.#world.fail(new ViolationError(invariant, message));
  }
}
