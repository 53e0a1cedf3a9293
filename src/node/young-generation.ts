import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import type { Clock } from "../core/clock.ts";

/** Of both halves together, from here on; V8 doubles them, so they have 4 MiB then. It would let them grow to 32 MiB, and keep them while the load lasts. */
const YOUNG_MAX_BYTES = 3 * 1024 * 1024;
const LOOK_MS = 250;

/**
 * Keeps V8's young generation small: ten bodies of 1 GiB at once filled it to 27 MiB, a quarter of all that a node grew by. What requests leave behind is dead
 * within milliseconds, so a small one costs them no more processor time (64 connections, 2 and 16 MiB a half: no difference seen).
 * The size itself can only be given on the command line; whether V8 enlarges it may be said while it runs.
 */
export function holdYoungGeneration(clock: Clock): void {
  let held = false;
  clock.every(LOOK_MS, () => {
    const full = youngBytes() >= YOUNG_MAX_BYTES;
    if (full === held) return;
    held = full;
    setFlagsFromString(`--semi-space-growth-factor=${held ? 1 : 2}`);
  });
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;
}
