import { type ConfChange, decodeConfChange, encodeConfChange } from "./conf-change.ts";
import { startCampaign } from "./election.ts";
import { RaftError } from "./errors.ts";
import { tickLeader } from "./leader.ts";
import { sizeOf } from "./log.ts";
import { Raft } from "./raft.ts";
import { applyConfChange } from "./reconfiguration.ts";
import { handleSnapshotStatus, handleUnreachable } from "./replication.ts";
import { forgetLeader, step } from "./step.ts";
import { stepStorageReply } from "./storage-reply.ts";
import { confStateOf, type GroupConfig, type ProgressMap } from "./tracker.ts";
import {
  type Config,
  type ConfState,
  type HardState,
  type Index,
  isEmptyHardState,
  type Message,
  NONE,
  type NodeId,
  type Ready,
  type Refusal,
  type Role,
  type SoftState,
  type StepRefusal,
  type StorageAppend,
  type StorageAppendReply,
  type StorageApply,
  type StorageReply,
  type Term,
} from "./types.ts";

/** What a node knows, at this moment. `progress` is the live state: read it, do not keep it. */
export interface Status {
  readonly id: NodeId;
  readonly term: Term;
  readonly vote: NodeId;
  /** `NONE` where no leader is known. */
  readonly leader: NodeId;
  readonly role: Role;
  readonly commit: Index;
  readonly applied: Index;
  readonly lastIndex: Index;
  /** `NONE` where leadership is not being handed over. */
  readonly transferee: NodeId;
  readonly config: GroupConfig;
  /** In order of ids; empty but in a leader. */
  readonly progress: ProgressMap;
}

const NO_PROGRESS: ProgressMap = new Map();

/**
 * One member of a Raft group as a pure state machine: it is told of ticks, messages and proposals, and hands out the work
 * that follows as a `Ready`. It keeps no clock, does no I/O, and the same calls with the same random stream give the same
 * results. Not reentrant: nothing is called back but `storage`, `random` and `log`.
 */
export class RawNode {
  readonly #raft: Raft;
  readonly #async: boolean;
  #lastSoft: SoftState;
  #lastHard: HardState;
  /** What a synchronous driver has done with the last Ready is stepped on `advance()`. */
  #onAdvance: (Message | StorageReply)[] = [];
  #awaitsAdvance = false;

  /** @throws RaftError configInvalid, logCorrupt */
  constructor(config: Config) {
    this.#raft = new Raft(config);
    this.#async = this.#raft.settings.asyncStorageWrites;
    this.#lastSoft = this.#softState();
    this.#lastHard = this.#raft.hardState();
  }

  /** One unit of logical time; the driver decides how long it is. */
  tick(): void {
    const raft = this.#raft;
    if (raft.role === "leader") {
      tickLeader(raft);
      return;
    }
    raft.electionElapsed += 1;
    if (!raft.promotable() || raft.electionElapsed < raft.electionTimeout) return;
    raft.electionElapsed = 0;
    startCampaign(raft);
  }

  /** Starts an election now, a PreVote where configured. Nothing happens where the node may not. */
  campaign(): void {
    startCampaign(this.#raft);
  }

  /** At a follower: sends the proposal on to the leader, from where no answer comes; it may be lost. */
  propose(data: Uint8Array): Refusal | undefined {
    return this.proposeAll([data]);
  }

  /** All at once, in order and without others between them: one append to each peer. */
  proposeAll(data: readonly Uint8Array[]): Refusal | undefined {
    if (data.length === 0) return undefined;
    const entries = data.map((bytes) => ({ type: "normal" as const, data: bytes }));
    return step(this.#raft, { type: "propose", from: NONE, to: NONE, term: 0, entries });
  }

  /**
   * A change that may not be proposed now (one is under way, or it does not fit the configuration) is not refused here: an
   * empty entry takes its place in the log, with a log line. Whoever proposed it watches what applies.
   * @param version 1: an entry of type `confChange`, for exactly one operation
   */
  proposeConfChange(change: ConfChange, version: 1 | 2 = 2): Refusal | undefined {
    if (version === 1 && (change.changes.length !== 1 || change.transition !== "auto")) {
      throw new RaftError("configInvalid", "v1 conf change can only have one operation and no transition");
    }
    const type = version === 1 ? "confChange" : "confChangeV2";
    return step(this.#raft, { type: "propose", from: NONE, to: NONE, term: 0, entries: [{ type, data: encodeConfChange(change) }] });
  }

  /**
   * To be called for every committed entry of a conf change type, when it applies. Not for entries that a restored snapshot
   * covers, which may still queue under `asyncStorageWrites`: its configuration is in force already.
   * @param change the change, or the entry's data. What cannot be decoded, or does not fit, changes nothing, on every node alike.
   * @param index of its entry: one that a restored snapshot has overtaken is in the configuration already
   * @returns the configuration in force from here on, to be kept with the applied state
   */
  applyConfChange(change: ConfChange | Uint8Array | undefined, index: Index): ConfState {
    if (index <= this.#raft.restoredIndex) return confStateOf(this.#raft.tracker.config);
    const decoded = change === undefined || change instanceof Uint8Array ? decodeConfChange(change) : change;
    if (decoded !== undefined) return applyConfChange(this.#raft, decoded);
    this.#raft.note("error", () => "refused a committed conf change that cannot be decoded");
    return confStateOf(this.#raft.tracker.config);
  }

  /** Takes a message from a peer, or under `asyncStorageWrites` an answer of storage. */
  step(message: Message | StorageReply): StepRefusal | undefined {
    const raft = this.#raft;
    switch (message.type) {
      case "storageAppendReply":
      case "storageApplyReply":
        stepStorageReply(raft, message);
        return undefined;
      case "appendReply":
      case "voteReply":
      case "preVoteReply":
      case "heartbeatReply":
      case "readIndexReply":
        if (!raft.tracker.progress.has(message.from)) return "unknownPeer";
        break;
      default:
        break;
    }
    return step(raft, message);
  }

  hasReady(): boolean {
    const raft = this.#raft;
    if (raft.messages.length > 0 || raft.messagesAfterAppend.length > 0 || raft.readStates.length > 0) return true;
    const { unstable } = raft.log;
    if (unstable.hasNextEntries() || unstable.nextSnapshot() !== undefined || raft.log.hasNextCommitted(!this.#async)) return true;
    return this.#hardStateChanged() || this.#softStateChanged();
  }

  /** The work that has come up. It counts as taken: the next one holds what comes after. */
  ready(): Ready {
    if (this.#awaitsAdvance) throw new RaftError("invariantBroken", "ready() was called twice without advance() between");
    const ready = this.#collect();
    this.#accept(ready);
    return ready;
  }

  /** The work of the last Ready is done, in the order that `Ready` gives. Not under `asyncStorageWrites`. */
  advance(): void {
    if (this.#async) throw new RaftError("invariantBroken", "advance() has no meaning under asyncStorageWrites: step storage's answers");
    this.#awaitsAdvance = false;
    const messages = this.#onAdvance;
    this.#onAdvance = [];
    for (const message of messages) {
      if (message.type === "storageAppendReply" || message.type === "storageApplyReply") stepStorageReply(this.#raft, message);
      else step(this.#raft, message);
    }
  }

  /**
   * Asks for the index from which a read is linearizable; the answer comes as a `ReadState` with the same context. It may
   * get lost with a message or a leader: ask again, or fail.
   * @returns noLeader where no answer can come
   */
  readIndex(context: Uint8Array): "noLeader" | undefined {
    const raft = this.#raft;
    const known = raft.role === "leader" || (raft.role === "follower" && raft.leader !== NONE);
    step(raft, { type: "readIndex", from: NONE, to: NONE, term: 0, context });
    return known ? undefined : "noLeader";
  }

  /** Hands leadership over; a follower passes the wish on. Given up after an election timeout. */
  transferLeader(to: NodeId): void {
    step(this.#raft, { type: "transferLeader", from: to, to: NONE, term: 0 });
  }

  /** A follower that has reason to think the leader dead may vote at once. */
  forgetLeader(): void {
    forgetLeader(this.#raft);
  }

  /** The last message to the peer was not delivered. */
  reportUnreachable(id: NodeId): void {
    handleUnreachable(this.#raft, id);
  }

  /** A snapshot that was sent has arrived, or has not. Each needs its report. */
  reportSnapshot(id: NodeId, status: "finish" | "failure"): void {
    handleSnapshotStatus(this.#raft, id, status);
  }

  status(): Status {
    const { id, term, vote, leader, role, log, tracker, transferee } = this.#raft;
    return {
      id,
      term,
      vote,
      leader,
      role,
      commit: log.committed,
      applied: log.applied,
      lastIndex: log.lastIndex(),
      transferee,
      config: tracker.config,
      progress: role === "leader" ? tracker.progress : NO_PROGRESS,
    };
  }

  /** For tests that need one node to be slower than chance would have it; lost at the next change of term or role. */
  setElectionTimeout(ticks: number): void {
    this.#raft.electionTimeout = ticks;
  }

  #collect(): Ready {
    const raft = this.#raft;
    const { unstable } = raft.log;
    const entries = unstable.nextEntries();
    const hardState = this.#hardStateChanged() ? raft.hardState() : undefined;
    const snapshot = unstable.nextSnapshot();
    const committedEntries = raft.log.nextCommitted(!this.#async);
    return {
      softState: this.#softStateChanged() ? this.#softState() : undefined,
      hardState,
      readStates: raft.readStates,
      entries,
      snapshot,
      committedEntries,
      messages: this.#async ? raft.messages : this.#messagesAfterWrite(),
      mustSync: entries.length > 0 || raft.term !== this.#lastHard.term || raft.vote !== this.#lastHard.vote,
      storageAppend: this.#async ? this.#storageAppend({ hardState, snapshot, entries }) : undefined,
      storageApply: this.#async ? this.#storageApply(committedEntries) : undefined,
    };
  }

  /** A synchronous driver sends nothing before it has written. */
  #messagesAfterWrite(): readonly Message[] {
    const { id, messages, messagesAfterAppend } = this.#raft;
    const promises = messagesAfterAppend.filter(({ to }) => to !== id);
    return promises.length === 0 ? messages : [...messages, ...promises];
  }

  #accept(ready: Ready): void {
    const raft = this.#raft;
    if (ready.softState !== undefined) this.#lastSoft = ready.softState;
    if (ready.hardState !== undefined) this.#lastHard = ready.hardState;
    if (!this.#async) {
      this.#awaitsAdvance = true;
      for (const message of raft.messagesAfterAppend) if (message.to === raft.id) this.#onAdvance.push(message);
      const appended = this.#appendReply(ready.snapshot);
      if (appended !== undefined) this.#onAdvance.push(appended);
      if (ready.committedEntries.length > 0) {
        this.#onAdvance.push({ type: "storageApplyReply", to: raft.id, entries: ready.committedEntries });
      }
    }
    raft.readStates = [];
    raft.messages = [];
    raft.messagesAfterAppend = [];
    raft.log.unstable.acceptInProgress();
    const last = ready.committedEntries.at(-1);
    if (last !== undefined) raft.log.acceptApplying(last.index, sizeOf(ready.committedEntries), !this.#async);
  }

  #storageAppend(work: Omit<StorageAppend, "responses">): StorageAppend | undefined {
    const promises = this.#raft.messagesAfterAppend;
    if (work.entries.length === 0 && work.hardState === undefined && work.snapshot === undefined && promises.length === 0) return undefined;
    const reply = this.#appendReply(work.snapshot);
    return { ...work, responses: reply === undefined ? promises : [...promises, reply] };
  }

  #storageApply(entries: Ready["committedEntries"]): StorageApply | undefined {
    if (entries.length === 0) return undefined;
    return { entries, responses: [{ type: "storageApplyReply", to: this.#raft.id, entries }] };
  }

  /**
   * Asked for with every write while any of the log is unstable, also one without entries: an earlier answer of a lower
   * term will have been ignored, and this one, written after those entries, confirms them at the term of now.
   */
  #appendReply(snapshot: Ready["snapshot"]): StorageAppendReply | undefined {
    const { id, term, log } = this.#raft;
    const unstable = log.unstable.entries.length > 0;
    if (!unstable && snapshot === undefined) return undefined;
    const last = unstable ? log.lastEntryId() : { index: 0, term: 0 };
    return { type: "storageAppendReply", to: id, term, index: last.index, logTerm: last.term, snapshot };
  }

  #softState(): SoftState {
    return { leader: this.#raft.leader, role: this.#raft.role };
  }

  #softStateChanged(): boolean {
    return this.#raft.leader !== this.#lastSoft.leader || this.#raft.role !== this.#lastSoft.role;
  }

  #hardStateChanged(): boolean {
    const { term, vote, log } = this.#raft;
    const last = this.#lastHard;
    if (term === last.term && vote === last.vote && log.committed === last.commit) return false;
    return !isEmptyHardState({ term, vote, commit: log.committed });
  }
}
