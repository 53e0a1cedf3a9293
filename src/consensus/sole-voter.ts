import type { RaftId } from "../core/peer.ts";
import type { Status } from "../raft/raw-node.ts";
import type { ConfState } from "../raft/types.ts";
import type { AppliedStore } from "./store.ts";

/** Whether `self` decides alone. */
export function isSoleVoter(self: RaftId, { voters, votersOutgoing }: ConfState): boolean {
  return voters.length === 1 && voters[0] === self && votersOutgoing.length === 0;
}

/**
 * The index that a read of a sole voter has to wait for; undefined where it does not lead. Until an entry of its own term has applied,
 * a leader does not know what is committed: then all of its log has to be waited for.
 */
export function soleIndex(self: RaftId, conf: ConfState, node: { status(): Status }, store: AppliedStore): number | undefined {
  if (!isSoleVoter(self, conf)) return undefined;
  const { role, term, commit, lastIndex } = node.status();
  if (role !== "leader") return undefined;
  return store.appliedTerm === term ? commit : lastIndex;
}
