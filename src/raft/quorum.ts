import type { Index, NodeId } from "./types.ts";

export type VoteResult = "pending" | "lost" | "won";

/** One half of a configuration: a majority of these decides. Ids ascend. */
export type Majority = readonly NodeId[];

/** A majority of both halves decides; `outgoing` is empty outside a joint configuration (dissertation, 4.3). */
export interface JointVoters {
  readonly incoming: Majority;
  readonly outgoing: Majority;
}

/** Stands for "no bound": what an empty half has committed. */
export const UNBOUNDED: Index = Number.POSITIVE_INFINITY;

const scratch: Index[] = [];

/** Largest index acknowledged by a majority. `acked` answers 0 where nothing is known. An empty half bounds nothing. */
export function majorityCommitted(voters: Majority, acked: (id: NodeId) => Index): Index {
  const count = voters.length;
  if (count === 0) return UNBOUNDED;
  scratch.length = count;
  for (let i = 0; i < count; i += 1) {
    // An insertion sort: a group has a handful of voters, and this runs for every acknowledgement.
    const index = acked(voters[i] as NodeId);
    let at = i;
    while (at > 0 && (scratch[at - 1] as Index) > index) {
      scratch[at] = scratch[at - 1] as Index;
      at -= 1;
    }
    scratch[at] = index;
  }
  return scratch[count - (Math.floor(count / 2) + 1)] as Index;
}

/** An empty half wins, so that a joint configuration with one behaves as the other half alone. */
export function majorityVote(voters: Majority, vote: (id: NodeId) => boolean | undefined): VoteResult {
  if (voters.length === 0) return "won";
  let granted = 0;
  let missing = 0;
  for (const id of voters) {
    const value = vote(id);
    if (value === undefined) missing += 1;
    else if (value) granted += 1;
  }
  const quorum = Math.floor(voters.length / 2) + 1;
  if (granted >= quorum) return "won";
  return granted + missing >= quorum ? "pending" : "lost";
}

export function jointCommitted(voters: JointVoters, acked: (id: NodeId) => Index): Index {
  const incoming = majorityCommitted(voters.incoming, acked);
  return voters.outgoing.length === 0 ? incoming : Math.min(incoming, majorityCommitted(voters.outgoing, acked));
}

export function jointVote(voters: JointVoters, vote: (id: NodeId) => boolean | undefined): VoteResult {
  const incoming = majorityVote(voters.incoming, vote);
  const outgoing = majorityVote(voters.outgoing, vote);
  if (incoming === outgoing) return incoming;
  return incoming === "lost" || outgoing === "lost" ? "lost" : "pending";
}

export function isVoter(voters: JointVoters, id: NodeId): boolean {
  return voters.incoming.includes(id) || voters.outgoing.includes(id);
}

/** Ids of both halves, ascending, each once. */
export function voterIds(voters: JointVoters): readonly NodeId[] {
  if (voters.outgoing.length === 0) return voters.incoming;
  return [...new Set([...voters.incoming, ...voters.outgoing])].sort((a, b) => a - b);
}
