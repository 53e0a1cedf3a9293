import type { Clock } from "../core/clock.ts";

/** Time that stands until a test moves it; timers run in order, with what they set in motion after each. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Map<symbol, { atMs: number; periodMs: number | undefined; run: () => void }>();

  wallMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#set({ atMs: this.#nowMs + delayMs, periodMs: undefined, run });
  }

  every(periodMs: number, run: () => void): () => void {
    return this.#set({ atMs: this.#nowMs + periodMs, periodMs, run });
  }

  /** Timers that stand. */
  get waiting(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const next = [...this.#timers].filter(([, timer]) => timer.atMs <= untilMs).sort(([, a], [, b]) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      const [key, timer] = next;
      this.#nowMs = timer.atMs;
      if (timer.periodMs === undefined) this.#timers.delete(key);
      else timer.atMs += timer.periodMs;
      timer.run();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  #set(timer: { atMs: number; periodMs: number | undefined; run: () => void }): () => void {
    const key = Symbol("timer");
    this.#timers.set(key, timer);
    return () => void this.#timers.delete(key);
  }
}

/** Lets everything run that waits for nothing but promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}
