import { type ConfChange, decodeConfChange, isConfChange } from "./conf-change.ts";
import type { Progress } from "./progress.ts";
import type { Raft } from "./raft.ts";
import { broadcastHeartbeat, confirmReads } from "./reads.ts";
import { broadcastAppend, maybeSendAppend, sendTimeoutNow } from "./replication.ts";
import { describeConfChange, describeConfig, describeId } from "./text.ts";
import { type HeartbeatReply, type Index, NONE, type NodeId, type ProposedEntry, type Refusal } from "./types.ts";

const EMPTY: ProposedEntry = { type: "normal", data: undefined };

/** As leader. Each call sends its entries at once. */
export function handlePropose(raft: Raft, entries: readonly ProposedEntry[]): Refusal | undefined {
  if (!raft.tracker.progress.has(raft.id)) return "notMember";
  if (raft.transferee !== NONE) {
    raft.note("debug", () => `[term ${raft.term}] transfer leadership to ${describeId(raft.transferee)} is in progress; dropping proposal`);
    return "transferInProgress";
  }
  const { pendingConfIndex } = raft;
  const first = raft.log.lastIndex() + 1;
  const admitted = entries.some(({ type }) => isConfChange(type)) ? entries.map((entry, at) => admit(raft, entry, first + at)) : entries;
  if (!raft.append(admitted)) {
    raft.pendingConfIndex = pendingConfIndex;
    return "uncommittedLimit";
  }
  broadcastAppend(raft);
  return undefined;
}

export function handleHeartbeatReply(raft: Raft, reply: HeartbeatReply, progress: Progress): void {
  progress.recentActive = true;
  progress.flowPaused = false;
  if (progress.match < raft.log.lastIndex() || progress.state === "probe") maybeSendAppend(raft, reply.from, progress, true);
  confirmReads(raft, reply);
}

/** Dissertation, 3.10: the transferee is brought up to date, then told to campaign. */
export function handleTransfer(raft: Raft, to: NodeId, progress: Progress): void {
  if (progress.isLearner) {
    raft.note("debug", () => "is learner. Ignored transferring leadership");
    return;
  }
  const name = describeId(to);
  if (raft.transferee === to) {
    raft.note("info", () => `[term ${raft.term}] transfer leadership to ${name} is in progress, ignores request to same node ${name}`);
    return;
  }
  if (raft.transferee !== NONE) {
    raft.note("info", () => `[term ${raft.term}] abort previous transferring leadership to ${describeId(raft.transferee)}`);
    raft.abortTransfer();
  }
  if (to === raft.id) {
    raft.note("debug", () => "is already leader. Ignored transferring leadership to self");
    return;
  }
  raft.note("info", () => `[term ${raft.term}] starts to transfer leadership to ${name}`);
  // It should be over within an election timeout; else it is given up.
  raft.electionElapsed = 0;
  raft.transferee = to;
  if (progress.match === raft.log.lastIndex()) {
    sendTimeoutNow(raft, to);
    raft.note("info", () => `sends MsgTimeoutNow to ${name} immediately as ${name} already has up-to-date log`);
  } else {
    maybeSendAppend(raft, to, progress, true);
  }
}

export function tickLeader(raft: Raft): void {
  raft.heartbeatElapsed += 1;
  raft.electionElapsed += 1;
  if (raft.electionElapsed >= raft.settings.electionTick) {
    raft.electionElapsed = 0;
    if (raft.settings.checkQuorum) checkQuorum(raft);
    if (raft.role === "leader") raft.abortTransfer();
  }
  if (raft.role !== "leader" || raft.heartbeatElapsed < raft.settings.heartbeatTick) return;
  raft.heartbeatElapsed = 0;
  broadcastHeartbeat(raft, raft.reads.newest);
}

/** Dissertation, 6.2: a leader that cannot reach a quorum makes room. */
function checkQuorum(raft: Raft): void {
  if (!raft.tracker.quorumActive()) {
    raft.note("warn", () => "stepped down to follower since quorum is not active");
    raft.becomeFollower(raft.term, NONE);
  }
  for (const [id, progress] of raft.tracker.progress) {
    if (id !== raft.id) progress.recentActive = false;
  }
}

/** A configuration change that may not be proposed now becomes an empty entry, so that its index is taken all the same. */
function admit(raft: Raft, entry: ProposedEntry, index: Index): ProposedEntry {
  if (!isConfChange(entry.type)) return entry;
  const change = decodeConfChange(entry.data);
  if (change === undefined) {
    raft.note("error", () => `ignoring a conf change that cannot be decoded at index ${index}`);
    return EMPTY;
  }
  const reason = refusalOf(raft, change);
  if (reason === undefined || raft.settings.disableConfChangeValidation) {
    raft.pendingConfIndex = index;
    return entry;
  }
  raft.note("info", () => {
    return `ignoring conf change ${describeConfChange(change, entry.type)} at config ${describeConfig(raft.tracker.config)}: ${reason}`;
  });
  return EMPTY;
}

/** One change at a time (dissertation, 4.1), and only those that fit the configuration in force. */
function refusalOf(raft: Raft, change: ConfChange): string | undefined {
  const { applied } = raft.log;
  if (raft.pendingConfIndex > applied) {
    return `possible unapplied conf change at index ${raft.pendingConfIndex} (applied to ${applied})`;
  }
  const joint = raft.tracker.config.voters.outgoing.length > 0;
  const leaves = change.changes.length === 0;
  if (joint && !leaves) return "must transition out of joint config first";
  if (!joint && leaves) return "not in joint state; refusing empty conf change";
  return undefined;
}
