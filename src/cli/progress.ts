import { formatBytes } from "./table.ts";

/** How much of something: things, and their bytes where they are known. */
export interface Amount {
  readonly items: number;
  readonly bytes: number;
}

const BAR_CELLS = 24;

/**
 * One line: a bar, what is done of how much, the rate and the time left.
 * @param what the items, in the plural
 * @returns without a line's end
 */
export function renderProgress(what: string, done: Amount, whole: Amount, tookMs: number): string {
  const share = whole.items === 0 ? 1 : Math.min(1, done.items / whole.items);
  // one large blob takes as long as many small ones
  const shareOfBytes = whole.bytes === 0 ? share : Math.min(1, done.bytes / whole.bytes);
  const full = Math.round(share * BAR_CELLS);
  const bar = `[${"#".repeat(full)}${".".repeat(BAR_CELLS - full)}]`;
  const bytes = whole.bytes === 0 ? "" : `, ${formatBytes(done.bytes)} of ${formatBytes(whole.bytes)}`;
  const rate = tookMs > 0 && done.bytes > 0 ? `, ${formatBytes((done.bytes / tookMs) * 1_000)}/s` : "";
  const left = shareOfBytes > 0 && shareOfBytes < 1 ? `, ${formatDuration((tookMs / shareOfBytes) * (1 - shareOfBytes))} left` : "";
  return `${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${done.items} of ${whole.items} ${what}${bytes}${rate}${left}`;
}

/** For people: `12 s`, `3 min`, `2.5 h`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
