import { RaftError } from "./errors.ts";
import { RaftLog } from "./log.ts";
import { restoreConfig } from "./membership.ts";
import type { Progress } from "./progress.ts";
import { ReadQueue } from "./read-queue.ts";
import { type Settings, settingsOf } from "./settings.ts";
import { describeConfig, describeId } from "./text.ts";
import { Tracker } from "./tracker.ts";
import {
  type AppendReply,
  type Config,
  type Entry,
  type HardState,
  type Index,
  type LogLevel,
  type Message,
  NONE,
  type NodeId,
  type ProposedEntry,
  payloadOf,
  type ReadIndexMessage,
  type ReadState,
  type Role,
  type Term,
  type VoteReply,
} from "./types.ts";

/** The state of one node, the outboxes, and the changes of role. What a role does stands in `election`, `follower`, `leader`. */
export class Raft {
  readonly id: NodeId;
  readonly settings: Settings;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  readonly reads: ReadQueue;

  term: Term = 0;
  vote: NodeId = NONE;
  role: Role = "follower";
  leader: NodeId = NONE;
  /** The node that leadership is on its way to. */
  transferee: NodeId = NONE;
  /** No configuration change may be proposed until this index has applied; a guess on the safe side in a new leader. */
  pendingConfIndex: Index = 0;
  /** Of the newest snapshot that took the place of the log: the configuration is the one at it, or later. */
  restoredIndex: Index = 0;
  /** As leader: a peer was told to campaign over all leases, so that none protects reads for the rest of the term. */
  leaseGivenAway = false;

  /** Ticks since the last sign of a leader; as leader, since the quorum was checked. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  electionTimeout = 0;

  /** Sent at once. */
  messages: Message[] = [];
  /** Sent once all that is in the log now, and the hard state, are durable; those to this node itself are stepped then. */
  messagesAfterAppend: (AppendReply | VoteReply)[] = [];
  readStates: ReadState[] = [];
  /** Reads that came before the first commit of this term. */
  postponedReads: ReadIndexMessage[] = [];
  #uncommittedBytes = 0;

  constructor(config: Config) {
    this.settings = settingsOf(config);
    const { id, storage, applied, maxInflightMessages, maxInflightBytes, maxCommittedSizePerReady } = this.settings;
    this.id = id;
    this.log = new RaftLog(storage, this.settings.log, maxCommittedSizePerReady);
    this.tracker = new Tracker(maxInflightMessages, maxInflightBytes);
    this.reads = new ReadQueue(id);
    const { hardState, confState } = storage.initialState();
    const restored = restoreConfig(this.tracker, this.log.lastIndex(), confState);
    this.tracker.switchTo(restored.config, restored.progress);
    this.note("info", () => `switched to configuration ${describeConfig(this.tracker.config)}`);
    if (hardState !== undefined) this.#load(hardState);
    if (applied > 0) this.log.appliedTo(applied, 0);
    this.becomeFollower(this.term, NONE);
    this.settings.log("info", () => {
      const last = this.log.lastEntryId();
      const peers = this.tracker.voterIds().map(describeId).join(",");
      const indexes = `commit: ${this.log.committed}, applied: ${this.log.applied}, lastindex: ${last.index}, lastterm: ${last.term}`;
      return `newRaft ${describeId(id)} [peers: [${peers}], term: ${this.term}, ${indexes}]`;
    });
  }

  /** A log line that begins with this node's id. */
  note(level: LogLevel, line: () => string): void {
    this.settings.log(level, () => `${describeId(this.id)} ${line()}`);
  }

  hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  send(message: Message): void {
    this.messages.push(message);
  }

  sendAppendReply(to: NodeId, index: Index): void {
    this.sendDurable({ type: "appendReply", from: this.id, to, term: this.term, index, rejected: false, hintIndex: 0, hintTerm: 0 });
  }

  /** A promise: it leaves only when what it promises is durable. */
  sendDurable(reply: AppendReply | VoteReply): void {
    this.messagesAfterAppend.push(reply);
  }

  /** As leader: what is known of a member; of others there is but a log line. */
  peer(id: NodeId): Progress | undefined {
    const progress = this.tracker.progress.get(id);
    if (progress === undefined) this.note("debug", () => `no progress available for ${describeId(id)}`);
    return progress;
  }

  /** A learner, a removed node and one that is installing a snapshot start no election. */
  promotable(): boolean {
    const progress = this.tracker.progress.get(this.id);
    return progress !== undefined && !progress.isLearner && !this.log.hasPendingSnapshot();
  }

  becomeFollower(term: Term, leader: NodeId): void {
    this.#reset(term);
    this.role = "follower";
    this.leader = leader;
    this.note("info", () => `became follower at term ${this.term}`);
  }

  /** Keeps term and vote: nothing has been promised to anyone (dissertation, 9.6). */
  becomePreCandidate(): void {
    this.tracker.resetVotes();
    this.role = "preCandidate";
    this.leader = NONE;
    this.note("info", () => `became pre-candidate at term ${this.term}`);
  }

  becomeCandidate(): void {
    this.#reset(this.term + 1);
    this.vote = this.id;
    this.role = "candidate";
    this.note("info", () => `became candidate at term ${this.term}`);
  }

  becomeLeader(): void {
    this.#reset(this.term);
    this.role = "leader";
    this.leader = this.id;
    const own = this.tracker.progress.get(this.id);
    if (own === undefined)
      throw new RaftError("invariantBroken", "a node that is not in the configuration won an election", { id: this.id });
    own.becomeReplicate();
    own.recentActive = true;
    // Entries of earlier terms may hold a configuration change that has not applied.
    this.pendingConfIndex = this.log.lastIndex();
    this.append([{ type: "normal", data: undefined }]);
    this.note("info", () => `became leader at term ${this.term}`);
  }

  /** As leader: gives the entries their place in the log. @returns false where too much is uncommitted already */
  append(proposed: readonly ProposedEntry[]): boolean {
    const bytes = payloadOf(proposed);
    const { maxUncommittedBytes } = this.settings;
    // One proposal of any size is taken where nothing waits; one without data always, or no leader could begin its term.
    if (this.#uncommittedBytes > 0 && bytes > 0 && this.#uncommittedBytes + bytes > maxUncommittedBytes) {
      this.note("warn", () => "appending new entries to log would exceed uncommitted entry size limit; dropping proposal");
      return false;
    }
    this.#uncommittedBytes += bytes;
    const first = this.log.lastIndex() + 1;
    const entries: Entry[] = proposed.map(({ type, data }, at) => ({ index: first + at, term: this.term, type, data }));
    this.sendAppendReply(this.id, this.log.append(entries));
    return true;
  }

  reduceUncommitted(bytes: number): void {
    this.#uncommittedBytes = Math.max(0, this.#uncommittedBytes - bytes);
  }

  maybeCommit(): boolean {
    return this.log.maybeCommit(this.tracker.committed(), this.term);
  }

  /** A leader knows what is committed only once an entry of its own term is (dissertation, 6.4). */
  hasCommittedInTerm(): boolean {
    return this.log.term(this.log.committed) === this.term;
  }

  abortTransfer(): void {
    this.transferee = NONE;
  }

  #reset(term: Term): void {
    if (this.term !== term) {
      this.term = term;
      this.vote = NONE;
    }
    this.leader = NONE;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    const { electionTick, random } = this.settings;
    this.electionTimeout = electionTick + Math.floor(random() * electionTick);
    this.abortTransfer();
    this.tracker.resetProgress(this.id, this.log.lastIndex());
    this.pendingConfIndex = 0;
    this.#uncommittedBytes = 0;
    this.leaseGivenAway = false;
    this.reads.clear();
  }

  #load({ term, vote, commit }: HardState): void {
    const last = this.log.lastIndex();
    if (commit < this.log.committed || commit > last) {
      const text = `the stored commit index ${commit} is outside the log (${this.log.committed} to ${last}): entries are gone; this node must be given a new identity`;
      throw new RaftError("logCorrupt", text, { commit, last });
    }
    this.log.committed = commit;
    this.term = term;
    this.vote = vote;
  }
}
