import { type ConfChange, type ConfChangeSingle, entersJoint, leavesJoint } from "./conf-change.ts";
import type { Progress } from "./progress.ts";
import type { GroupConfig, ProgressMap, Tracker } from "./tracker.ts";
import type { ConfState, Index, NodeId } from "./types.ts";

/** The text of a refusal, the same on every node. */
export type ChangeRefusal =
  | "can't apply simple config change in joint config"
  | "more than one voter changed without entering joint config"
  | "config is already joint"
  | "can't make a zero-voter config joint"
  | "can't leave a non-joint config"
  | "removed all voters";

export type ChangeOutcome =
  | { readonly config: GroupConfig; readonly progress: ProgressMap; readonly refused?: undefined }
  | { readonly refused: ChangeRefusal };

/** A copy that a change works on. */
class Draft {
  readonly incoming: Set<NodeId>;
  readonly outgoing: Set<NodeId>;
  readonly learners: Set<NodeId>;
  readonly learnersNext: Set<NodeId>;
  readonly progress = new Map<NodeId, Progress>();
  autoLeave = false;
  readonly #tracker: Tracker;
  readonly #lastIndex: Index;

  constructor(tracker: Tracker, lastIndex: Index) {
    const { voters, learners, learnersNext } = tracker.config;
    this.incoming = new Set(voters.incoming);
    this.outgoing = new Set(voters.outgoing);
    this.learners = new Set(learners);
    this.learnersNext = new Set(learnersNext);
    for (const [id, progress] of tracker.progress) this.progress.set(id, progress.clone());
    this.#tracker = tracker;
    this.#lastIndex = lastIndex;
  }

  apply(changes: readonly ConfChangeSingle[]): "removed all voters" | undefined {
    for (const { type, nodeId } of changes) {
      if (nodeId === 0) continue;
      if (type === "addNode") this.#makeVoter(nodeId);
      else if (type === "addLearner") this.#makeLearner(nodeId);
      else if (type === "removeNode") this.#remove(nodeId);
    }
    return this.incoming.size === 0 ? "removed all voters" : undefined;
  }

  finish(): ChangeOutcome {
    const config: GroupConfig = {
      voters: { incoming: ascending(this.incoming), outgoing: ascending(this.outgoing) },
      learners: ascending(this.learners),
      learnersNext: ascending(this.learnersNext),
      autoLeave: this.autoLeave,
    };
    return { config, progress: this.progress };
  }

  #makeVoter(id: NodeId): void {
    const progress = this.progress.get(id);
    if (progress === undefined) {
      this.#join(id, false);
      return;
    }
    progress.isLearner = false;
    this.learners.delete(id);
    this.learnersNext.delete(id);
    this.incoming.add(id);
  }

  /** A voter of the outgoing half stays one until the joint configuration is left. */
  #makeLearner(id: NodeId): void {
    const progress = this.progress.get(id);
    if (progress === undefined) this.#join(id, true);
    if (progress === undefined || progress.isLearner) return;
    this.#remove(id);
    this.progress.set(id, progress);
    if (this.outgoing.has(id)) {
      this.learnersNext.add(id);
    } else {
      progress.isLearner = true;
      this.learners.add(id);
    }
  }

  #remove(id: NodeId): void {
    if (!this.progress.has(id)) return;
    this.incoming.delete(id);
    this.learners.delete(id);
    this.learnersNext.delete(id);
    if (!this.outgoing.has(id)) this.progress.delete(id);
  }

  /** A new peer counts as active, or CheckQuorum could depose the leader before it was ever asked. */
  #join(id: NodeId, isLearner: boolean): void {
    (isLearner ? this.learners : this.incoming).add(id);
    const progress = this.#tracker.newProgress(0, Math.max(this.#lastIndex, 1), isLearner);
    progress.recentActive = true;
    this.progress.set(id, progress);
  }
}

/** Changes one voter at most, and any learners, without a joint configuration (dissertation, 4.1). */
export function simpleChange(tracker: Tracker, lastIndex: Index, changes: readonly ConfChangeSingle[]): ChangeOutcome {
  const draft = new Draft(tracker, lastIndex);
  if (draft.outgoing.size > 0) return { refused: "can't apply simple config change in joint config" };
  const refused = draft.apply(changes);
  if (refused !== undefined) return { refused };
  const before = new Set(tracker.config.voters.incoming);
  if (before.symmetricDifference(draft.incoming).size > 1) return { refused: "more than one voter changed without entering joint config" };
  return draft.finish();
}

/** The voters of now become the outgoing half; `changes` make the incoming one (dissertation, 4.3). */
export function enterJoint(tracker: Tracker, lastIndex: Index, autoLeave: boolean, changes: readonly ConfChangeSingle[]): ChangeOutcome {
  const draft = new Draft(tracker, lastIndex);
  if (draft.outgoing.size > 0) return { refused: "config is already joint" };
  if (draft.incoming.size === 0) return { refused: "can't make a zero-voter config joint" };
  for (const id of draft.incoming) draft.outgoing.add(id);
  const refused = draft.apply(changes);
  if (refused !== undefined) return { refused };
  draft.autoLeave = autoLeave;
  return draft.finish();
}

export function leaveJoint(tracker: Tracker, lastIndex: Index): ChangeOutcome {
  const draft = new Draft(tracker, lastIndex);
  if (draft.outgoing.size === 0) return { refused: "can't leave a non-joint config" };
  for (const id of draft.learnersNext) {
    draft.learners.add(id);
    const progress = draft.progress.get(id);
    if (progress !== undefined) progress.isLearner = true;
  }
  draft.learnersNext.clear();
  for (const id of draft.outgoing) {
    if (!draft.incoming.has(id) && !draft.learners.has(id)) draft.progress.delete(id);
  }
  draft.outgoing.clear();
  return draft.finish();
}

export function applyChange(tracker: Tracker, lastIndex: Index, change: ConfChange): ChangeOutcome {
  if (leavesJoint(change)) return leaveJoint(tracker, lastIndex);
  const joint = entersJoint(change);
  if (joint !== undefined) return enterJoint(tracker, lastIndex, joint.autoLeave, change.changes);
  return simpleChange(tracker, lastIndex, change.changes);
}

/** The configuration of a snapshot, nothing known of any peer yet. */
export function restoreConfig(tracker: Tracker, lastIndex: Index, state: ConfState): { config: GroupConfig; progress: ProgressMap } {
  const progress = new Map<NodeId, Progress>();
  for (const id of [...state.voters, ...state.votersOutgoing, ...state.learners]) {
    const peer = tracker.newProgress(0, Math.max(lastIndex, 1), state.learners.includes(id));
    peer.recentActive = true;
    progress.set(id, peer);
  }
  const config: GroupConfig = {
    voters: { incoming: ascending(state.voters), outgoing: ascending(state.votersOutgoing) },
    learners: ascending(state.learners),
    learnersNext: ascending(state.learnersNext),
    autoLeave: state.autoLeave,
  };
  return { config, progress };
}

function ascending(ids: Iterable<NodeId>): NodeId[] {
  return [...ids].sort((a, b) => a - b);
}
