/** A member's number in the group, at least 1. It is never given out again. */
export type NodeId = number;
export type Term = number;
/** Position in the log; the first entry has index 1. */
export type Index = number;

/** Stands where a node id could: no leader known, no vote cast. */
export const NONE: NodeId = 0;

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

/** `confChange` carries exactly one operation, `confChangeV2` any number and a transition. */
export type EntryType = "normal" | "confChange" | "confChangeV2";

/** Immutable once appended. `data` is undefined in a new leader's first entry and in a leader's own leave of a joint configuration. */
export interface Entry {
  readonly index: Index;
  readonly term: Term;
  readonly type: EntryType;
  readonly data: Uint8Array | undefined;
}

/** An entry on its way to the leader, who gives it its term and index. */
export interface ProposedEntry {
  readonly type: EntryType;
  readonly data: Uint8Array | undefined;
}

/** Durable before the messages of the same Ready that depend on it leave (Raft paper, figure 2). */
export interface HardState {
  readonly term: Term;
  /** `NONE` where no vote was cast in `term`. */
  readonly vote: NodeId;
  readonly commit: Index;
}

/** What need not be durable. */
export interface SoftState {
  /** `NONE` where no leader is known. */
  readonly leader: NodeId;
  readonly role: Role;
}

/** A configuration as a snapshot carries it; ids ascend. `votersOutgoing` is empty but in a joint configuration. */
export interface ConfState {
  readonly voters: readonly NodeId[];
  readonly votersOutgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  /** The leader leaves the joint configuration by itself once it has applied it. */
  readonly autoLeave: boolean;
}

/** Of a node that knows of nobody. */
export const NO_CONFIGURATION: ConfState = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

export interface SnapshotMeta {
  /** The last entry that the snapshot covers. */
  readonly index: Index;
  readonly term: Term;
  readonly confState: ConfState;
}

/** `data` is opaque to the core: a handle by which the driver finds the content, which travels on a stream of its own. */
export interface Snapshot {
  readonly meta: SnapshotMeta;
  readonly data: Uint8Array;
}

/** Answer to `readIndex(context)`: what is read once `index` has applied is linearizable (dissertation, 6.4). */
export interface ReadState {
  readonly index: Index;
  readonly context: Uint8Array;
}

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  /** 0 in what has no term of its own: proposals, reads, transfers asked for by a follower's caller. */
  readonly term: Term;
}

export interface ProposeMessage extends Envelope {
  readonly type: "propose";
  readonly entries: readonly ProposedEntry[];
}

export interface AppendMessage extends Envelope {
  readonly type: "append";
  readonly prevIndex: Index;
  readonly prevTerm: Term;
  readonly entries: readonly Entry[];
  readonly commit: Index;
}

export interface AppendReply extends Envelope {
  readonly type: "appendReply";
  /** Last index that matches the leader's; where `rejected`, the `prevIndex` that was refused. */
  readonly index: Index;
  readonly rejected: boolean;
  /** Where `rejected`: the sender's largest index that could match, and its term. Else 0. */
  readonly hintIndex: Index;
  readonly hintTerm: Term;
}

export interface VoteMessage extends Envelope {
  readonly type: "vote" | "preVote";
  readonly lastIndex: Index;
  readonly lastTerm: Term;
  /** Asked for by the leader itself: overrides the lease of CheckQuorum (dissertation, 4.2.3). */
  readonly transfer: boolean;
}

export interface VoteReply extends Envelope {
  readonly type: "voteReply" | "preVoteReply";
  readonly rejected: boolean;
  /** With a refusal, under `commitByVotes`: an entry that is committed, as the voter knows. True for good, however late it comes. */
  readonly committed?: { readonly index: Index; readonly term: Term } | undefined;
}

export interface HeartbeatMessage extends Envelope {
  readonly type: "heartbeat";
  readonly commit: Index;
  /** Position of the newest read that waits for a quorum; 0 where none does. */
  readonly read: number;
}

export interface HeartbeatReply extends Envelope {
  readonly type: "heartbeatReply";
  readonly read: number;
}

export interface SnapshotMessage extends Envelope {
  readonly type: "snapshot";
  readonly snapshot: Snapshot;
}

export interface TransferMessage extends Envelope {
  /** `transferLeader`: `from` is the node that is to lead. `timeoutNow`: campaign at once. */
  readonly type: "transferLeader" | "timeoutNow";
}

export interface ReadIndexMessage extends Envelope {
  readonly type: "readIndex";
  readonly context: Uint8Array;
}

export interface ReadIndexReply extends Envelope {
  readonly type: "readIndexReply";
  readonly index: Index;
  readonly context: Uint8Array;
}

/** What nodes say to each other: plain data, safe to encode. No field is ever undefined but the `data` of an entry. */
export type Message =
  | ProposeMessage
  | AppendMessage
  | AppendReply
  | VoteMessage
  | VoteReply
  | HeartbeatMessage
  | HeartbeatReply
  | SnapshotMessage
  | TransferMessage
  | ReadIndexMessage
  | ReadIndexReply;

/** Storage's own answers, stepped into the node that asked. They never leave it. */
export type StorageReply = StorageAppendReply | StorageApplyReply;

export interface StorageAppendReply {
  readonly type: "storageAppendReply";
  readonly to: NodeId;
  /** The node's term when it asked: an answer of an older term confirms no entries, they may have been replaced since (ABA). */
  readonly term: Term;
  /** The log's end when it asked; 0, 0 where only a snapshot was stored. */
  readonly index: Index;
  readonly logTerm: Term;
  readonly snapshot: Snapshot | undefined;
}

export interface StorageApplyReply {
  readonly type: "storageApplyReply";
  readonly to: NodeId;
  readonly entries: readonly Entry[];
}

/** Work for the log writer under `asyncStorageWrites`: store in this order hard state, snapshot, entries; sync; then pass on `responses`. */
export interface StorageAppend {
  readonly hardState: HardState | undefined;
  readonly snapshot: Snapshot | undefined;
  readonly entries: readonly Entry[];
  /** Once all is durable: step those addressed to this node, send the others. */
  readonly responses: readonly (Message | StorageReply)[];
}

/** Work for the applier under `asyncStorageWrites`. */
export interface StorageApply {
  readonly entries: readonly Entry[];
  /** To be stepped once the entries have applied. */
  readonly responses: readonly StorageApplyReply[];
}

/**
 * Work for the driver. Without `asyncStorageWrites`, in this order: store `hardState`, `snapshot` and `entries` (with a
 * sync where `mustSync`), send `messages`, apply `snapshot` and `committedEntries`, `advance()`. With it: send `messages`
 * at once, queue `storageAppend` and `storageApply` to their workers, no `advance()`.
 */
export interface Ready {
  /** Undefined where unchanged since the last Ready. */
  readonly softState: SoftState | undefined;
  readonly hardState: HardState | undefined;
  readonly readStates: readonly ReadState[];
  readonly entries: readonly Entry[];
  readonly snapshot: Snapshot | undefined;
  readonly committedEntries: readonly Entry[];
  readonly messages: readonly Message[];
  /** False where only the commit index changed: it may regress in a crash, and nothing relies on it. */
  readonly mustSync: boolean;
  readonly storageAppend: StorageAppend | undefined;
  readonly storageApply: StorageApply | undefined;
}

/** `compacted`: covered by a snapshot. `unavailable`: beyond the end. */
export type Missing = "compacted" | "unavailable";

/** The durable log as the core reads it, synchronously. Only the driver writes it. Adapters: `memory-storage.ts`, the driver's own. */
export interface Storage {
  /** As stored at the start. `confState` is the one at the applied index that the node is configured with. */
  initialState(): { readonly hardState: HardState | undefined; readonly confState: ConfState };
  /** First index still readable: one past the snapshot's. */
  firstIndex(): Index;
  /** Last index stored; `firstIndex() - 1` where there is none. */
  lastIndex(): Index;
  /** Also answers for `firstIndex() - 1`. */
  term(index: Index): Term | Missing;
  /** Entries of `[lo, hi)` whose sizes add up to at most `maxBytes`, but at least one. Sizes are those of `entrySize`. */
  entries(lo: Index, hi: Index, maxBytes: number): readonly Entry[] | Missing;
  /** A snapshot to send; `unavailable` for now where none can be made: the core asks again. */
  snapshot(): Snapshot | "unavailable";
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Called at the moment of the event; a logger that drops the level never makes the text. */
export type Logger = (level: LogLevel, line: () => string) => void;

/** Why a proposal was not taken. It changed nothing; to propose it again is safe as far as this node knows. */
export type Refusal = "noLeader" | "forwardingDisabled" | "notMember" | "transferInProgress" | "uncommittedLimit";

/** `unknownPeer`: a reply from a node that is not in the configuration. */
export type StepRefusal = Refusal | "unknownPeer";

export interface Config {
  readonly id: NodeId;
  /** Ticks without contact until an election, drawn from `[electionTick, 2 * electionTick)`. */
  readonly electionTick: number;
  readonly heartbeatTick: number;
  readonly storage: Storage;
  /** Uniform in `[0, 1)`. */
  readonly random: () => number;
  readonly log: Logger;
  /** Last applied index at a restart; 0 to apply everything that storage holds again. */
  readonly applied?: Index;
  readonly asyncStorageWrites?: boolean;
  /** Bytes of entries in one append; no limit by default. One entry always goes. */
  readonly maxSizePerMessage?: number;
  /** Bytes of committed entries handed out and not yet applied; `maxSizePerMessage` by default. */
  readonly maxCommittedSizePerReady?: number;
  /** Bytes of proposals not yet applied beyond which a leader refuses more; no limit by default. */
  readonly maxUncommittedBytes?: number;
  /** Appends on their way to one peer; 256 by default. */
  readonly maxInflightMessages?: number;
  /** Bytes on their way to one peer; no limit by default. */
  readonly maxInflightBytes?: number;
  /** A leader without contact to a quorum for an election's time steps down. */
  readonly checkQuorum?: boolean;
  readonly preVote?: boolean;
  /** `leaseBased` needs `checkQuorum`, and clocks and pauses that are bounded; `safe` by default. */
  readonly readOnly?: "safe" | "leaseBased";
  readonly disableConfChangeValidation?: boolean;
  readonly stepDownOnRemoval?: boolean;
  readonly disableProposalForwarding?: boolean;
  /** Who refuses a vote says what is committed, so that a candidate that needs the vote only because it is behind in applying does not need it for good. */
  readonly commitByVotes?: boolean;
}

/** Bytes of its own that an entry costs beside its data, in limits on sizes. */
const ENTRY_OVERHEAD_BYTES = 12;

export function entrySize(entry: Entry): number {
  return ENTRY_OVERHEAD_BYTES + (entry.data?.length ?? 0);
}

/** Bytes of data alone: what proposals and windows are limited by. */
export function payloadOf(entries: readonly ProposedEntry[]): number {
  let bytes = 0;
  for (const { data } of entries) bytes += data?.length ?? 0;
  return bytes;
}

/** `payloadOf` entries whose sizes add up to `bytes`. */
export function payloadWithin(bytes: number, count: number): number {
  return bytes - count * ENTRY_OVERHEAD_BYTES;
}

export function isEmptyHardState(state: HardState): boolean {
  return state.term === 0 && state.vote === NONE && state.commit === 0;
}
