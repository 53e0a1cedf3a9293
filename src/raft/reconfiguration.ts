import type { ConfChange } from "./conf-change.ts";
import { applyChange } from "./membership.ts";
import type { Raft } from "./raft.ts";
import { recountReads, releasePostponedReads } from "./reads.ts";
import { broadcastAppend, maybeSendAppend } from "./replication.ts";
import { describeConfig } from "./text.ts";
import { confStateOf, type GroupConfig, type ProgressMap } from "./tracker.ts";
import { type ConfState, NONE } from "./types.ts";

/** Takes effect now, when the entry applies. A change that does not fit is refused, the same on every node, and changes nothing. */
export function applyConfChange(raft: Raft, change: ConfChange): ConfState {
  const outcome = applyChange(raft.tracker, raft.log.lastIndex(), change);
  if (outcome.refused !== undefined) {
    raft.note("error", () => `refused a committed conf change at config ${describeConfig(raft.tracker.config)}: ${outcome.refused}`);
    return confStateOf(raft.tracker.config);
  }
  return switchToConfig(raft, outcome.config, outcome.progress);
}

export function switchToConfig(raft: Raft, config: GroupConfig, progress: ProgressMap): ConfState {
  const { tracker } = raft;
  tracker.switchTo(config, progress);
  raft.note("info", () => `switched to configuration ${describeConfig(config)}`);
  const own = tracker.progress.get(raft.id);
  const state = confStateOf(config);
  if (raft.role !== "leader") return state;
  if (own === undefined || own.isLearner) {
    // It may go on to commit what removed it; who wants a prompt election asks for the step down.
    if (raft.settings.stepDownOnRemoval) raft.becomeFollower(raft.term, NONE);
    return state;
  }
  // The new quorum may have committed more already.
  if (raft.maybeCommit()) {
    releasePostponedReads(raft);
    broadcastAppend(raft);
  } else {
    probeNewPeers(raft);
  }
  recountReads(raft);
  if (raft.transferee !== NONE && !tracker.isVoter(raft.transferee)) raft.abortTransfer();
  return state;
}

function probeNewPeers(raft: Raft): void {
  for (const [id, progress] of raft.tracker.progress) {
    if (id !== raft.id) maybeSendAppend(raft, id, progress, false);
  }
}
