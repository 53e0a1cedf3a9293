import type { AppliedStore, RaftLog } from "./store.ts";
import type { Timing } from "./timing.ts";

export interface LogCutterOptions {
  readonly log: RaftLog;
  readonly store: AppliedStore;
  readonly timing: Timing;
  /** What a running snapshot stream still needs begins after this index, and what the core has not handed out: of an install it hears after the catalog has changed. */
  readonly keepFrom: () => number;
}

/** Cuts the log only below an index whose catalog batch is synced, and keeps a tail for slow followers. */
export class LogCutter {
  readonly #options: LogCutterOptions;
  #running = false;

  constructor(options: LogCutterOptions) {
    this.#options = options;
  }

  cut(): void {
    const { log, store, timing, keepFrom } = this.#options;
    if (this.#running) return;
    const last = log.lastIndex();
    const held = last - log.base.index;
    if (held === 0) return;
    // By bytes: as many entries as their average size allows.
    const keep = Math.min(timing.keepEntries, Math.floor((timing.keepBytes / Math.max(1, log.sizeBytes)) * held));
    const target = Math.min(store.syncedIndex, last - keep, keepFrom());
    if (target - log.base.index < Math.max(1, keep / SLACK)) return;
    this.#running = true;
    void log
      .compact(target)
      .catch(() => undefined) // The log has told `fatal`.
      .finally(() => {
        this.#running = false;
      });
  }
}

/** A cut each time that a part of this size has grown beyond what is kept. */
const SLACK = 8;
