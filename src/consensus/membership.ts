import type { RaftId } from "../core/peer.ts";
import type { ConfChange } from "../raft/conf-change.ts";
import type { ConfState } from "../raft/types.ts";

/** What the leader knows of a peer of the configuration. */
export interface PeerProgress {
  readonly raftId: RaftId;
  /** Last index known to be in its log. */
  readonly match: number;
  readonly state: "probe" | "replicate" | "snapshot";
  /** Heard from within an election's time. */
  readonly active: boolean;
  /** Heard from just now, within a few heartbeats. */
  readonly fresh: boolean;
}

/** The Raft configuration, which follows the members of the catalog (`upkeep/members.ts`). */
export interface Membership {
  readonly self: RaftId;
  leads(): boolean;
  /** The one in force on this node. */
  configuration(): ConfState;
  /** As leader; empty elsewhere. */
  progress(): readonly PeerProgress[];
  /** Last index of this node's log. */
  lastIndex(): number;
  /**
   * As leader. Whether it takes its place in the log; it counts once it has applied (`onConfiguration`).
   * @returns why it was not taken
   */
  proposeConfChange(change: ConfChange): string | undefined;
  /** Hands leadership over to a voter; elsewhere than at the leader the wish is sent on to it. Given up after an election timeout. */
  transferLeader(to: RaftId): void;
  /** Called when a configuration has applied, when this node begins or ends to lead, and after a snapshot was installed. */
  onConfiguration(listener: () => void): () => void;
}
