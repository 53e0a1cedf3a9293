import type { RaftId } from "../core/peer.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Status } from "../raft/raw-node.ts";
import type { ConfState } from "../raft/types.ts";
import type { ConsensusStatus, SnapshotProgress } from "./consensus.ts";
import type { PeerProgress } from "./membership.ts";
import type { AppliedStore } from "./store.ts";
import type { Transport } from "./transport.ts";

export interface StatusFacts {
  readonly node: Status;
  readonly store: AppliedStore;
  readonly transport: Pick<Transport, "counters">;
  readonly conf: ConfState;
  readonly elections: number;
  readonly cutOff: boolean;
  readonly progress: readonly PeerProgress[];
  readonly catalog: Catalog;
  readonly snapshots: { readonly progress: readonly SnapshotProgress[] };
}

/** What a node says of itself at any moment. */
export interface Position {
  readonly role: Status["role"];
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** As leader: what it knows of each member; empty elsewhere. */
  readonly progress: Status["progress"];
}

export function positionOf({ role, term, commit, progress }: Status, { appliedIndex }: AppliedStore): Position {
  // An installed snapshot was committed, though the core may not know it yet.
  return { role, term, commitIndex: Math.max(commit, appliedIndex), appliedIndex, progress };
}

/** Each heartbeat is answered. */
const FRESH_TICKS = 3;

/** What the leader knows of each member; empty elsewhere. */
export function progressOf(
  { progress }: Status,
  electionTicks: number,
  heardWithin: (raftId: RaftId, ticks: number) => boolean,
): PeerProgress[] {
  return [...progress].map(([raftId, { match, state }]) => {
    return { raftId, match, state, active: heardWithin(raftId, electionTicks), fresh: heardWithin(raftId, FRESH_TICKS) };
  });
}

/** What `status`, `/metrics` and `/readyz` tell of this node. */
export function statusOf({ node, store, conf, elections, cutOff, progress, catalog, transport, snapshots }: StatusFacts): ConsensusStatus {
  const { role, term, commitIndex, appliedIndex } = positionOf(node, store);
  return {
    self: node.id,
    role,
    leader: node.leader === 0 ? undefined : node.leader,
    term,
    commitIndex,
    appliedIndex,
    syncedIndex: store.syncedIndex,
    lastIndex: node.lastIndex,
    elections,
    cutOff,
    voters: conf.voters,
    learners: conf.learners,
    ...(transport.counters === undefined ? {} : { turnedAway: transport.counters }),
    snapshots: snapshots.progress,
    progress: progress.map(({ raftId, match, active }) => ({ raftId, peerId: catalog.member(raftId)?.peerId, match, active })),
  };
}
