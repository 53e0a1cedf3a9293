import type { Raft } from "./raft.ts";
import { type HeartbeatReply, type Index, NONE, type ReadIndexMessage } from "./types.ts";

/** Reads held until the first commit of the term; those beyond are dropped, their callers retry. */
const POSTPONED_MAX = 4096;

/** As leader. Dissertation, 6.4. */
export function handleReadIndex(raft: Raft, request: ReadIndexMessage): void {
  if (raft.hasCommittedInTerm()) {
    confirmRead(raft, request);
  } else if (raft.postponedReads.length < POSTPONED_MAX) {
    raft.postponedReads.push(request);
  } else {
    raft.note("warn", () => `dropping index reading msg: ${POSTPONED_MAX} reads already wait for the first commit of term ${raft.term}`);
  }
}

/** Once the first entry of the term is committed. */
export function releasePostponedReads(raft: Raft): void {
  if (raft.postponedReads.length === 0 || !raft.hasCommittedInTerm()) return;
  const requests = raft.postponedReads;
  raft.postponedReads = [];
  for (const request of requests) confirmRead(raft, request);
}

/** A reply to a heartbeat confirms the reads that were waiting when that heartbeat left. */
export function confirmReads(raft: Raft, { from, read }: HeartbeatReply): void {
  if (read === 0) return;
  for (const { request, index } of raft.reads.confirm(from, read, raft.tracker.config.voters)) answerRead(raft, request, index);
}

/** The replies that are there may be a quorum of the configuration in force from now on; those that are missing may never come. */
export function recountReads(raft: Raft): void {
  for (const { request, index } of raft.reads.recount(raft.tracker.config.voters)) answerRead(raft, request, index);
}

/** `read`: position of the read to confirm, 0 for none. The commit index never passes what the peer is known to have. */
export function broadcastHeartbeat(raft: Raft, read: number): void {
  for (const [to, progress] of raft.tracker.progress) {
    if (to === raft.id) continue;
    const commit = Math.min(progress.match, raft.log.committed);
    raft.send({ type: "heartbeat", from: raft.id, to, term: raft.term, commit, read });
    progress.sentCommit(commit);
  }
}

function confirmRead(raft: Raft, request: ReadIndexMessage): void {
  const byLease = raft.settings.readOnly === "leaseBased" && !raft.leaseGivenAway;
  if (byLease || raft.tracker.isSoleVoter(raft.id)) {
    answerRead(raft, request, raft.log.committed);
    return;
  }
  broadcastHeartbeat(raft, raft.reads.add(request, raft.log.committed));
}

function answerRead(raft: Raft, { from, context }: ReadIndexMessage, index: Index): void {
  if (from === NONE || from === raft.id) raft.readStates.push({ index, context });
  else raft.send({ type: "readIndexReply", from: raft.id, to: from, term: raft.term, index, context });
}
