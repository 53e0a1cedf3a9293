import type { Progress } from "./progress.ts";
import type { Raft } from "./raft.ts";
import { releasePostponedReads } from "./reads.ts";
import { describeId, describeProgress } from "./text.ts";
import { type AppendReply, type Entry, type NodeId, payloadOf } from "./types.ts";

const NO_ENTRIES: readonly Entry[] = [];

/** Sends to every peer, also where there is nothing new but the commit index. */
export function broadcastAppend(raft: Raft): void {
  for (const { id, progress } of raft.tracker.peers) {
    if (id !== raft.id) maybeSendAppend(raft, id, progress, true);
  }
}

/**
 * Sends one append, or a snapshot where the log no longer reaches back far enough.
 * @returns false where nothing was sent: paused, or nothing new and `sendIfEmpty` false
 */
export function maybeSendAppend(raft: Raft, to: NodeId, progress: Progress, sendIfEmpty: boolean): boolean {
  if (progress.paused) return false;
  const prevIndex = progress.next - 1;
  const prevTerm = raft.log.term(prevIndex);
  if (typeof prevTerm === "string") return maybeSendSnapshot(raft, to, progress);
  // A full window carries no entries, but an empty append still tells the commit index and finds what was lost.
  const throttled = progress.state === "replicate" && progress.inflights.full;
  const entries = throttled ? NO_ENTRIES : raft.log.entries(progress.next, raft.settings.maxSizePerMessage);
  if (typeof entries === "string") return maybeSendSnapshot(raft, to, progress);
  if (entries.length === 0 && !sendIfEmpty) return false;
  const commit = raft.log.committed;
  raft.send({ type: "append", from: raft.id, to, term: raft.term, prevIndex, prevTerm, entries, commit });
  progress.sentEntries(entries.length, payloadOf(entries));
  progress.sentCommit(commit);
  return true;
}

export function handleAppendReply(raft: Raft, reply: AppendReply, progress: Progress): void {
  progress.recentActive = true;
  if (reply.rejected) {
    handleRejection(raft, reply, progress);
    return;
  }
  const { from, index } = reply;
  const probed = progress.state === "probe" && progress.match === index;
  if (!progress.maybeUpdate(index) && !probed) return;
  advanceState(raft, reply, progress);
  const isPeer = from !== raft.id;
  // Also where the index is an old one: a leader that was removed counts by another quorum than when it last looked.
  if (raft.maybeCommit()) {
    releasePostponedReads(raft);
    broadcastAppend(raft);
  } else if (isPeer && progress.canBumpCommit(raft.log.committed)) {
    maybeSendAppend(raft, from, progress, true);
  }
  if (isPeer) {
    while (maybeSendAppend(raft, from, progress, false));
  }
  if (from === raft.transferee && progress.match === raft.log.lastIndex()) {
    raft.note("info", () => `sent MsgTimeoutNow to ${describeId(from)} after received MsgAppResp`);
    sendTimeoutNow(raft, from);
  }
}

export function sendTimeoutNow(raft: Raft, to: NodeId): void {
  raft.leaseGivenAway = true;
  raft.send({ type: "timeoutNow", from: raft.id, to, term: raft.term });
}

export function handleUnreachable(raft: Raft, id: NodeId): void {
  const progress = raft.role === "leader" ? raft.peer(id) : undefined;
  if (progress === undefined) return;
  // Appends on their way are most likely lost: probe rather than pile up more.
  if (progress.state === "replicate") progress.becomeProbe();
  raft.note("debug", () => `failed to send message to ${describeId(id)} because it is unreachable [${describeProgress(progress)}]`);
}

/** The driver reports how a snapshot went, or the peer would wait in that state for good. */
export function handleSnapshotStatus(raft: Raft, id: NodeId, status: "finish" | "failure"): void {
  const progress = raft.role === "leader" ? raft.peer(id) : undefined;
  if (progress?.state !== "snapshot") return;
  if (status === "failure") progress.pendingSnapshot = 0;
  progress.becomeProbe();
  const outcome = status === "failure" ? "failed" : "succeeded";
  raft.note(
    "debug",
    () => `snapshot ${outcome}, resumed sending replication messages to ${describeId(id)} [${describeProgress(progress)}]`,
  );
  // Wait for the peer's own answer, or a heartbeat's, before the next append.
  progress.flowPaused = true;
}

/** Raft paper, 5.3, with the faster search by term: the hint skips whole terms, on both sides. */
function handleRejection(raft: Raft, { from, index, hintIndex, hintTerm }: AppendReply, progress: Progress): void {
  raft.note("debug", () => {
    const hint = `hint: (index ${hintIndex}, term ${hintTerm})`;
    return `received MsgAppResp(rejected, ${hint}) from ${describeId(from)} for index ${index}`;
  });
  const probe = hintTerm > 0 ? raft.log.findConflictByTerm(hintIndex, hintTerm).index : hintIndex;
  if (!progress.maybeDecrease(index, probe)) return;
  raft.note("debug", () => `decreased progress of ${describeId(from)} to [${describeProgress(progress)}]`);
  if (progress.state === "replicate") progress.becomeProbe();
  maybeSendAppend(raft, from, progress, true);
}

function advanceState(raft: Raft, { from, index }: AppendReply, progress: Progress): void {
  if (progress.state === "probe") {
    progress.becomeReplicate();
  } else if (progress.state === "replicate") {
    progress.inflights.freeThrough(index);
  } else if (progress.match + 1 >= raft.log.firstIndex()) {
    // The log reaches back to the peer, by whichever snapshot it came there.
    raft.note("debug", () => {
      return `recovered from needing snapshot, resumed sending replication messages to ${describeId(from)} [${describeProgress(progress)}]`;
    });
    progress.becomeProbe();
    progress.becomeReplicate();
  }
}

function maybeSendSnapshot(raft: Raft, to: NodeId, progress: Progress): boolean {
  if (!progress.recentActive) {
    raft.settings.log("debug", () => `ignore sending snapshot to ${describeId(to)} since it is not recently active`);
    return false;
  }
  const snapshot = raft.log.snapshot();
  if (snapshot === "unavailable") {
    raft.note("debug", () => `failed to send snapshot to ${describeId(to)} because snapshot is temporarily unavailable`);
    return false;
  }
  const { index, term } = snapshot.meta;
  raft.note("debug", () => {
    const log = `firstindex: ${raft.log.firstIndex()}, commit: ${raft.log.committed}`;
    return `[${log}] sent snapshot[index: ${index}, term: ${term}] to ${describeId(to)} [${describeProgress(progress)}]`;
  });
  progress.becomeSnapshot(index);
  raft.note("debug", () => `paused sending replication messages to ${describeId(to)} [${describeProgress(progress)}]`);
  raft.send({ type: "snapshot", from: raft.id, to, term: raft.term, snapshot });
  return true;
}
