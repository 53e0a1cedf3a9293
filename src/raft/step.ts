import { handleStaleVoteRequest, handleVoteReply, handleVoteRequest, ignoredByLease, startCampaign } from "./election.ts";
import { handleAppend, handleHeartbeat, handleSnapshot } from "./follower.ts";
import { handleHeartbeatReply, handlePropose, handleTransfer } from "./leader.ts";
import type { Raft } from "./raft.ts";
import { handleReadIndex } from "./reads.ts";
import { handleAppendReply } from "./replication.ts";
import { describeId, messageName, roleName } from "./text.ts";
import {
  type AppendMessage,
  type HeartbeatMessage,
  type Message,
  NONE,
  type ProposeMessage,
  type ReadIndexMessage,
  type Refusal,
  type SnapshotMessage,
  type TransferMessage,
} from "./types.ts";

type LeaderMessage = AppendMessage | HeartbeatMessage | SnapshotMessage;

/** Takes one message. Only a proposal can be refused. */
export function step(raft: Raft, message: Message): Refusal | undefined {
  const { term } = message;
  if (term > raft.term) {
    if (!enterHigherTerm(raft, message)) return undefined;
  } else if (term !== 0 && term < raft.term) {
    handleLowerTerm(raft, message);
    return undefined;
  }
  if (message.type === "vote" || message.type === "preVote") {
    handleVoteRequest(raft, message);
    return undefined;
  }
  if (raft.role === "leader") return stepLeader(raft, message);
  return raft.role === "follower" ? stepFollower(raft, message) : stepCandidate(raft, message);
}

export function forgetLeader(raft: Raft): void {
  if (raft.role !== "follower") return;
  if (raft.settings.readOnly === "leaseBased") {
    // The vote that a forgetful follower gives could end the lease under a leader that reads by it.
    raft.settings.log("error", () => "ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    return;
  }
  if (raft.leader === NONE) return;
  raft.note("info", () => `forgetting leader ${describeId(raft.leader)} at term ${raft.term}`);
  raft.leader = NONE;
}

/** Raft paper, 5.1. @returns false where the message is to be ignored */
function enterHigherTerm(raft: Raft, message: Message): boolean {
  if ((message.type === "vote" || message.type === "preVote") && ignoredByLease(raft, message)) return false;
  // A pre-vote asks about a term that nobody has entered, and a grant of one answers about it.
  if (message.type === "preVote" || (message.type === "preVoteReply" && !message.rejected)) return true;
  const { type, from, term } = message;
  raft.note(
    "info",
    () => `[term: ${raft.term}] received a ${messageName(type)} message with higher term from ${describeId(from)} [term: ${term}]`,
  );
  const fromLeader = type === "append" || type === "heartbeat" || type === "snapshot";
  raft.becomeFollower(term, fromLeader ? from : NONE);
  return true;
}

function handleLowerTerm(raft: Raft, message: Message): void {
  const { type, from, term } = message;
  const { checkQuorum, preVote } = raft.settings;
  if ((checkQuorum || preVote) && (type === "append" || type === "heartbeat")) {
    // A leader of an old term, cut off for a while: our term makes it step down. Without an answer neither it nor we,
    // whose pre-votes it refuses by its lease, would ever get on.
    raft.sendAppendReply(from, 0);
  } else if (type === "preVote") {
    handleStaleVoteRequest(raft, message);
  } else {
    raft.note(
      "info",
      () => `[term: ${raft.term}] ignored a ${messageName(type)} message with lower term from ${describeId(from)} [term: ${term}]`,
    );
  }
}

function stepLeader(raft: Raft, message: Message): Refusal | undefined {
  switch (message.type) {
    case "propose":
      return handlePropose(raft, message.entries);
    case "readIndex":
      handleReadIndex(raft, message);
      return undefined;
    default: {
      const progress = raft.peer(message.from);
      if (progress === undefined) return undefined;
      if (message.type === "appendReply") handleAppendReply(raft, message, progress);
      else if (message.type === "heartbeatReply") handleHeartbeatReply(raft, message, progress);
      else if (message.type === "transferLeader") handleTransfer(raft, message.from, progress);
      return undefined;
    }
  }
}

function stepFollower(raft: Raft, message: Message): Refusal | undefined {
  switch (message.type) {
    case "propose":
      return forwardProposal(raft, message);
    case "append":
    case "heartbeat":
    case "snapshot":
      raft.electionElapsed = 0;
      raft.leader = message.from;
      handleLeaderMessage(raft, message);
      return undefined;
    case "transferLeader":
      forwardToLeader(raft, message, "leader transfer");
      return undefined;
    case "readIndex":
      forwardToLeader(raft, message, "index reading");
      return undefined;
    case "timeoutNow":
      raft.note("info", () => {
        return `[term ${raft.term}] received MsgTimeoutNow from ${describeId(message.from)} and starts an election to get leadership.`;
      });
      // The leader is alive and asks for it: PreVote would only cost a round.
      startCampaign(raft, "transfer");
      return undefined;
    case "readIndexReply":
      raft.readStates.push({ index: message.index, context: message.context });
      return undefined;
    default:
      return undefined;
  }
}

function stepCandidate(raft: Raft, message: Message): Refusal | undefined {
  switch (message.type) {
    case "propose":
      raft.note("info", () => `no leader at term ${raft.term}; dropping proposal`);
      return "noLeader";
    case "append":
    case "heartbeat":
    case "snapshot":
      // The term is ours, so someone else has won it.
      raft.becomeFollower(message.term, message.from);
      handleLeaderMessage(raft, message);
      return undefined;
    case "voteReply":
    case "preVoteReply":
      handleVoteReply(raft, message);
      return undefined;
    case "timeoutNow":
      raft.note("debug", () => `[term ${raft.term} state ${roleName(raft.role)}] ignored MsgTimeoutNow from ${describeId(message.from)}`);
      return undefined;
    default:
      return undefined;
  }
}

function handleLeaderMessage(raft: Raft, message: LeaderMessage): void {
  if (message.type === "append") handleAppend(raft, message);
  else if (message.type === "heartbeat") handleHeartbeat(raft, message);
  else handleSnapshot(raft, message);
}

function forwardProposal(raft: Raft, message: ProposeMessage): Refusal | undefined {
  if (raft.leader === NONE) {
    raft.note("info", () => `no leader at term ${raft.term}; dropping proposal`);
    return "noLeader";
  }
  if (raft.settings.disableProposalForwarding) {
    raft.note("info", () => `not forwarding to leader ${describeId(raft.leader)} at term ${raft.term}; dropping proposal`);
    return "forwardingDisabled";
  }
  raft.send({ ...message, from: message.from === NONE ? raft.id : message.from, to: raft.leader });
  return undefined;
}

function forwardToLeader(raft: Raft, message: TransferMessage | ReadIndexMessage, what: string): void {
  if (raft.leader === NONE) {
    raft.note("info", () => `no leader at term ${raft.term}; dropping ${what} msg`);
    return;
  }
  const from = message.from === NONE ? raft.id : message.from;
  const term = message.type === "readIndex" ? message.term : raft.term;
  raft.send({ ...message, from, to: raft.leader, term });
}
