import type { ConfState } from "../../src/raft/types.ts";
import type { LogMirror } from "./log-mirror.ts";

/** What is known of one identity, from its disk and from what it has said. */
export interface Witness {
  readonly id: number;
  readonly log: LogMirror;
  /** The index that it has applied: in memory while it runs, on its disk when it has opened. */
  applied: number;
  /** The index of the newest snapshot that has become its catalog; its log may not know of it yet. */
  installed: number;
  /** The configurations that it has had last, the newest first. */
  configurations: readonly ConfState[];
  /** The one in force in the running node, which comes before that of the catalog. */
  running: (() => ConfState) | undefined;
  /** As leader, by what it was last seen to count: the one before may have committed up to `floor`. */
  ruling: { readonly conf: ConfState; readonly floor: number } | undefined;
  /** What it knows to be committed, while it runs. */
  committed: (() => number) | undefined;
  /** As candidate: what it knows to be committed. Undefined in another role. */
  campaigning: (() => number | undefined) | undefined;
  /** As leader: its term, and up to where it counts the copy of another. Undefined in another role. */
  leading: ((peer: number) => { readonly term: number; readonly match: number } | undefined) | undefined;
  /** Something was done to its disk that Raft does not bear: what it had acknowledged may be gone. */
  tampered: boolean;
  /** What it knew to be committed when it last became leader. */
  committedBefore: number;
  /** The highest index that it has acknowledged, in the newest term. */
  promised: { readonly term: number; readonly index: number };
  /** What it knew to be committed before the term that it is in. */
  committedFloor: number;
}

const SETS = ["voters", "votersOutgoing", "learners", "learnersNext"] as const;

/** The configurations that it may count votes and copies by now. */
export function configurationsOf({ running, configurations }: Witness): readonly ConfState[] {
  return running === undefined ? configurations : [running(), ...configurations];
}

/** It speaks as leader: what it commits from now on, it commits by the configuration that it has. */
export function rules(leader: Witness): void {
  const conf = leader.running?.();
  if (conf === undefined || conf === leader.ruling?.conf) return;
  leader.ruling = { conf, floor: leader.committed?.() ?? 0 };
}

/** The configurations by which the leader may have committed an entry: only up to the floor an earlier one. */
export function committingAt(leader: Witness, index: number): readonly ConfState[] {
  const { ruling } = leader;
  return ruling === undefined || index <= ruling.floor ? configurationsOf(leader) : [ruling.conf];
}

export function configured(witness: Witness, conf: ConfState): void {
  const [known] = witness.configurations;
  if (known === conf || (known !== undefined && isSameConfState(known, conf))) return;
  witness.configurations = known === undefined ? [conf] : [conf, known];
}

/** Whether `count` says that a majority of each half is there. */
export function isQuorum({ voters, votersOutgoing }: ConfState, count: (half: readonly number[]) => number): boolean {
  return [voters, votersOutgoing].every((half) => half.length === 0 || count(half) > half.length / 2);
}

export function isSameConfState(a: ConfState, b: ConfState): boolean {
  return a.autoLeave === b.autoLeave && SETS.every((set) => a[set].length === b[set].length && a[set].every((id, at) => id === b[set][at]));
}
