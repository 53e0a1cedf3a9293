import type { PeerId, RaftId } from "../core/peer.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Command, Outcome } from "../metadata/commands.ts";

/** Whether a read that begins now sees all that was committed before it, or is answered by a node that is cut off (G3). */
export type Freshness = "fresh" | "cutOff";

/** The port that everything above uses. Adapters: the driver over `level/` and `libp2p/`, and `memory.ts`. */
export interface Consensus {
  readonly self: RaftId;
  /** This node's applied state. */
  readonly catalog: Catalog;
  /**
   * Resolves once the command has applied on this node, refused or not. Retried through elections under its session (G8).
   * @param deadlineMs how long to wait through elections; `http.deadline` by default
   * @throws OciError UNAVAILABLE within 2 s where no quorum can be reached, or at the deadline
   */
  propose(
    command: Command,
    options?: { readonly signal?: AbortSignal; readonly deadlineMs?: number; readonly principal?: string },
  ): Promise<Outcome>;
  /**
   * ReadIndex, one round for all that wait; resolves `fresh` once this node has applied what was committed when it began.
   * @returns `cutOff` where this node has no contact with a majority
   * @throws OciError UNAVAILABLE where a quorum is there and no leader was found within the deadline
   */
  barrier(signal?: AbortSignal): Promise<Freshness>;
  status(): ConsensusStatus;
  /** Called for each applied command, in order, after its batch was written. */
  onApplied(listener: (applied: Applied) => void): () => void;
  /** Called when the catalog's batches up to `index` are on stable storage. */
  onSynced(listener: (index: number) => void): () => void;
  /** Called when a snapshot has replaced the catalog: `onApplied` says nothing of what it brought. */
  onInstalled(listener: (index: number) => void): () => void;
}

export interface Applied {
  readonly index: number;
  readonly command: Command;
  readonly outcome: Outcome;
  /** It came again (G8): the outcome is the one of then, and nothing was done. */
  readonly duplicate: boolean;
}

export interface ConsensusStatus {
  readonly self: RaftId;
  readonly role: "leader" | "follower" | "candidate" | "preCandidate";
  readonly leader: RaftId | undefined;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly syncedIndex: number;
  readonly lastIndex: number;
  readonly elections: number;
  readonly cutOff: boolean;
  readonly voters: readonly RaftId[];
  readonly learners: readonly RaftId[];
  /** What was turned away on the way between nodes, by the reason; where it is counted. */
  readonly turnedAway?: Readonly<Record<string, number>>;
  /** Snapshots of the catalog that this node is sending. */
  readonly snapshots?: readonly SnapshotProgress[];
  /** What the leader knows of each peer; empty elsewhere. */
  readonly progress: readonly {
    readonly raftId: RaftId;
    readonly peerId: PeerId | undefined;
    readonly match: number;
    readonly active: boolean;
  }[];
}

export interface SnapshotProgress {
  readonly to: RaftId;
  /** Over all streams, where one was cut and gone on with. */
  readonly sentBytes: number;
  readonly tookMs: number;
}
