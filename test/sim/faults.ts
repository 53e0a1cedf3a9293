import type { Random } from "../../src/core/random.ts";
import type { Settings } from "./settings.ts";

/** Kinds of things that go wrong. A seed has some of them, not all: each combination has its own bugs to find. */
export const FAULT_KINDS = [
  "loss",
  "reorder",
  "duplicate",
  "partition",
  "oneWay",
  "shifting",
  "isolateLeader",
  "zombieLeader",
  "stall",
  "burst",
  "breakStreams",
  "skew",
  "pause",
  "jump",
  "crash",
  "crashAtSync",
  "crashLoop",
  "crashAll",
  "crashAtInstall",
  "slowDisk",
  "slowWrites",
  "syncError",
  "noSpace",
  "rotLog",
  "rotTable",
  "rotCatalog",
  "stale",
  "wipe",
  "addMember",
  "removeMember",
  "confChange",
  "transfer",
  "linkBreak",
  "hunt",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** One thing that goes wrong, planned before anything happens: so a plan can be cut down while it still shows a violation. */
export interface FaultAction {
  readonly atMs: number;
  readonly kind: FaultKind;
  /** How long it lasts, where it lasts. */
  readonly durationMs: number;
  /** In `[0, 1)`: which node, and how bad. Looked up when it happens. */
  readonly target: number;
  readonly strength: number;
  readonly variant: number;
}

/** How often each kind comes, where a seed has it: mean ms between two of a kind, in election timeouts. */
const MEAN_GAP: Readonly<Record<FaultKind, number>> = {
  loss: 8,
  reorder: 8,
  duplicate: 8,
  partition: 5,
  oneWay: 6,
  shifting: 8,
  isolateLeader: 5,
  zombieLeader: 8,
  stall: 4,
  burst: 3,
  breakStreams: 10,
  skew: 10,
  pause: 5,
  jump: 12,
  crash: 4,
  crashAtSync: 3,
  crashLoop: 10,
  crashAll: 14,
  crashAtInstall: 4,
  slowDisk: 6,
  slowWrites: 6,
  syncError: 10,
  noSpace: 12,
  rotLog: 14,
  rotTable: 20,
  rotCatalog: 10,
  stale: 7,
  wipe: 15,
  addMember: 12,
  removeMember: 14,
  confChange: 3,
  transfer: 4,
  linkBreak: 3,
  hunt: 7,
};

const KIND_RATIO = 0.25;
const HORIZON_TIMEOUTS = 80;

/** The plan of a seed, in order of time. */
export function drawPlan(random: Random, { timing }: Settings): readonly FaultAction[] {
  const timeoutMs = timing.tickMs * timing.electionTicks;
  const plan: FaultAction[] = [];
  for (const kind of FAULT_KINDS) {
    const present = random.float() < KIND_RATIO;
    const gapMs = MEAN_GAP[kind] * timeoutMs;
    for (let atMs = nextGap(random, gapMs); present && atMs < HORIZON_TIMEOUTS * timeoutMs; atMs += nextGap(random, gapMs)) {
      const durationMs = timeoutMs * (0.2 + 3 * random.float() * random.float());
      plan.push({ atMs, kind, durationMs, target: random.float(), strength: random.float(), variant: random.float() });
    }
  }
  return plan.sort((a, b) => a.atMs - b.atMs);
}

function nextGap(random: Random, meanMs: number): number {
  return -Math.log(1 - random.float()) * meanMs;
}
