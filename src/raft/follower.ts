import { restoreConfig } from "./membership.ts";
import type { Raft } from "./raft.ts";
import { switchToConfig } from "./reconfiguration.ts";
import { describeConfState, describeId } from "./text.ts";
import { type AppendMessage, type HeartbeatMessage, NONE, type Snapshot, type SnapshotMessage } from "./types.ts";

/** Raft paper, 5.3. Every append is answered, also an empty one. */
export function handleAppend(raft: Raft, message: AppendMessage): void {
  const { from, prevIndex, prevTerm, entries, commit } = message;
  if (prevIndex < raft.log.committed) {
    raft.sendAppendReply(from, raft.log.committed);
    return;
  }
  const lastNew = raft.log.maybeAppend(prevIndex, prevTerm, entries, commit);
  if (lastNew !== undefined) {
    raft.sendAppendReply(from, lastNew);
    return;
  }
  raft.note("debug", () => {
    const own = `[logterm: ${raft.log.termOrZero(prevIndex)}, index: ${prevIndex}]`;
    return `${own} rejected MsgApp [logterm: ${prevTerm}, index: ${prevIndex}] from ${describeId(from)}`;
  });
  // Whole terms that cannot match are skipped: nothing later than the hint has a term as low as the leader's there.
  const hint = raft.log.findConflictByTerm(Math.min(prevIndex, raft.log.lastIndex()), prevTerm);
  raft.sendDurable({
    type: "appendReply",
    from: raft.id,
    to: from,
    term: raft.term,
    index: prevIndex,
    rejected: true,
    hintIndex: hint.index,
    hintTerm: hint.term,
  });
}

export function handleHeartbeat(raft: Raft, { from, commit, read }: HeartbeatMessage): void {
  raft.log.commitTo(commit);
  raft.send({ type: "heartbeatReply", from: raft.id, to: from, term: raft.term, read });
}

export function handleSnapshot(raft: Raft, { from, snapshot }: SnapshotMessage): void {
  const { index, term } = snapshot.meta;
  const restored = restore(raft, snapshot);
  const verdict = restored ? "restored" : "ignored";
  raft.note("info", () => `[commit: ${raft.log.committed}] ${verdict} snapshot [index: ${index}, term: ${term}]`);
  raft.sendAppendReply(from, restored ? raft.log.lastIndex() : raft.log.committed);
}

/** @returns false where the log is left as it is */
function restore(raft: Raft, snapshot: Snapshot): boolean {
  const { index, term, confState } = snapshot.meta;
  const { log } = raft;
  if (index <= log.committed) return false;
  if (raft.role !== "follower") {
    raft.note("warn", () => "attempted to restore snapshot as leader; should never happen");
    raft.becomeFollower(raft.term + 1, NONE);
    return false;
  }
  const { voters, votersOutgoing, learners } = confState;
  if (![voters, votersOutgoing, learners].some((ids) => ids.includes(raft.id))) {
    raft.note(
      "warn",
      () => `attempted to restore snapshot but it is not in the ConfState ${describeConfState(confState)}; should never happen`,
    );
    return false;
  }
  const describeLast = (): string => {
    const last = log.lastEntryId();
    return `[commit: ${log.committed}, lastindex: ${last.index}, lastterm: ${last.term}]`;
  };
  if (log.matches(index, term)) {
    // The log holds all of it: only the commit index is news. To wipe the log would take back acknowledged entries.
    raft.note("info", () => `${describeLast()} fast-forwarded commit to snapshot [index: ${index}, term: ${term}]`);
    log.commitTo(index);
    return false;
  }
  log.restore(snapshot);
  raft.restoredIndex = index;
  const { config, progress } = restoreConfig(raft.tracker, log.lastIndex(), confState);
  switchToConfig(raft, config, progress);
  raft.note("info", () => `${describeLast()} restored snapshot [index: ${index}, term: ${term}]`);
  return true;
}
