import { isConfChange } from "./conf-change.ts";
import type { EntryId } from "./log.ts";
import type { Raft } from "./raft.ts";
import { broadcastAppend } from "./replication.ts";
import { describeId, messageName } from "./text.ts";
import { NONE, type VoteMessage, type VoteReply } from "./types.ts";

type Campaign = "preVote" | "vote" | "transfer";

/** How much of the log is looked at in one go for changes that have not applied. */
const SCAN_PAGE_BYTES = 1024 * 1024;

/** The election timeout passed, or the driver asks for an election. */
export function startCampaign(raft: Raft, campaign: Campaign = raft.settings.preVote ? "preVote" : "vote"): void {
  if (raft.role === "leader") {
    raft.note("debug", () => "ignoring MsgHup because already leader");
  } else if (!raft.promotable()) {
    raft.note("warn", () => "is unpromotable and can not campaign");
  } else if (hasUnappliedConfChange(raft)) {
    raft.note("warn", () => `cannot campaign at term ${raft.term} since there are still pending configuration changes to apply`);
  } else {
    raft.note("info", () => `is starting a new election at term ${raft.term}`);
    campaignNow(raft, campaign);
  }
}

/** Grants or refuses, after the term was dealt with. Raft paper, 5.2 and 5.4.1; dissertation, 9.6 for PreVote. */
export function handleVoteRequest(raft: Raft, message: VoteMessage): void {
  const { type, from } = message;
  const canVote = raft.vote === from || (raft.vote === NONE && raft.leader === NONE) || (type === "preVote" && message.term > raft.term);
  const granted = canVote && raft.log.isUpToDate(message.lastIndex, message.lastTerm);
  noteVote(raft, message, granted ? "cast" : "rejected");
  // A granted reply carries the term that was asked for: a pre-candidate has not moved to it yet.
  raft.sendDurable({
    type: type === "vote" ? "voteReply" : "preVoteReply",
    from: raft.id,
    to: from,
    term: granted ? message.term : raft.term,
    rejected: !granted,
    ...(granted || !raft.settings.commitByVotes ? {} : { committed: raft.log.committedEntryId() }),
  });
  if (granted && type === "vote") {
    raft.electionElapsed = 0;
    raft.vote = from;
  }
}

/** While a leader is known to be alive, no one else may disturb it, but at the leader's own wish (dissertation, 4.2.3). */
export function ignoredByLease(raft: Raft, message: VoteMessage): boolean {
  const { electionTick, checkQuorum } = raft.settings;
  if (message.transfer || !checkQuorum || raft.leader === NONE || raft.electionElapsed >= electionTick) return false;
  noteVote(raft, message, "ignored", `: lease is not expired (remaining ticks: ${electionTick - raft.electionElapsed})`);
  return true;
}

/** A request of a term that has passed. The sender of a pre-vote learns of our term by the reply, or it would stay stuck. */
export function handleStaleVoteRequest(raft: Raft, message: VoteMessage): void {
  noteVote(raft, message, "rejected");
  raft.sendDurable({ type: "preVoteReply", from: raft.id, to: message.from, term: raft.term, rejected: true });
}

/** As candidate or pre-candidate. */
export function handleVoteReply(raft: Raft, reply: VoteReply): void {
  if (reply.committed !== undefined && learnsCommit(raft, reply.committed)) return;
  const expected = raft.role === "preCandidate" ? "preVoteReply" : "voteReply";
  if (reply.type !== expected) return;
  const name = messageName(reply.type);
  const verdict = reply.rejected ? " rejection" : "";
  raft.note("info", () => `received ${name}${verdict} from ${describeId(reply.from)} at term ${raft.term}`);
  raft.tracker.recordVote(reply.from, !reply.rejected);
  const { granted, rejected, result } = raft.tracker.tallyVotes();
  raft.note("info", () => `has received ${granted} ${name} votes and ${rejected} vote rejections`);
  if (result === "lost") {
    raft.becomeFollower(raft.term, NONE);
  } else if (result === "won" && raft.role === "preCandidate") {
    campaignNow(raft, "vote");
  } else if (result === "won") {
    raft.becomeLeader();
    broadcastAppend(raft);
  }
}

/**
 * A configuration counts when it applies, so a candidate may need the vote of one that has left already, with a longer log that nobody will ever
 * commit. Of two voters that become one, that would be for good. What is committed is the same entry in every log, so it may be taken from anyone.
 * @returns whether the campaign is over: it counts votes by a configuration that has passed
 */
function learnsCommit(raft: Raft, { index, term }: EntryId): boolean {
  if (!raft.log.matches(index, term)) return false;
  raft.log.commitTo(index);
  if (!hasUnappliedConfChange(raft)) return false;
  raft.becomeFollower(raft.term, NONE);
  return true;
}

function campaignNow(raft: Raft, campaign: Campaign): void {
  const pre = campaign === "preVote";
  if (pre) raft.becomePreCandidate();
  else raft.becomeCandidate();
  const type = pre ? "preVote" : "vote";
  const term = pre ? raft.term + 1 : raft.term;
  const last = raft.log.lastEntryId();
  for (const to of raft.tracker.voterIds()) {
    if (to === raft.id) {
      // Its own vote counts once it is durable.
      raft.sendDurable({ type: pre ? "preVoteReply" : "voteReply", from: raft.id, to, term, rejected: false });
      continue;
    }
    raft.note("info", () => {
      return `[logterm: ${last.term}, index: ${last.index}] sent ${messageName(type)} request to ${describeId(to)} at term ${raft.term}`;
    });
    raft.send({ type, from: raft.id, to, term, lastIndex: last.index, lastTerm: last.term, transfer: campaign === "transfer" });
  }
}

/** A node whose configuration is behind what is committed could win by a quorum that no longer is one. */
function hasUnappliedConfChange(raft: Raft): boolean {
  const { log } = raft;
  let found = false;
  log.scan(log.applied + 1, log.committed + 1, SCAN_PAGE_BYTES, ({ type }) => {
    found = isConfChange(type);
    return found;
  });
  return found;
}

function noteVote(raft: Raft, message: VoteMessage, verdict: "cast" | "rejected" | "ignored", reason = ""): void {
  raft.note("info", () => {
    const last = raft.log.lastEntryId();
    const own = `[logterm: ${last.term}, index: ${last.index}, vote: ${describeId(raft.vote)}]`;
    const theirs = `[logterm: ${message.lastTerm}, index: ${message.lastIndex}]`;
    const preposition = verdict === "cast" ? "for" : "from";
    return `${own} ${verdict} ${messageName(message.type)} ${preposition} ${describeId(message.from)} ${theirs} at term ${raft.term}${reason}`;
  });
}
