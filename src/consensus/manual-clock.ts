import type { Clock } from "../core/clock.ts";

interface Timer {
  at: number;
  readonly periodMs: number | undefined;
  readonly run: () => void;
}

/** A clock that stands still until it is told to move. For tests. */
export class ManualClock implements Clock {
  #now = 1_000;
  readonly #timers = new Set<Timer>();

  wallMs(): number {
    return this.#now;
  }

  monotonicMs(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#add({ at: this.#now + delayMs, periodMs: undefined, run });
  }

  every(periodMs: number, run: () => void): () => void {
    return this.#add({ at: this.#now + periodMs, periodMs, run });
  }

  /** Runs what is due on the way, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = next.at;
      if (next.periodMs === undefined) this.#timers.delete(next);
      else next.at += next.periodMs;
      next.run();
    }
    this.#now = end;
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (timer.at <= end && (first === undefined || timer.at < first.at)) first = timer;
    return first;
  }
}
