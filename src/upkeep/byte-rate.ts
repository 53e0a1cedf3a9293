import { type Clock, pause } from "../core/clock.ts";

/** Timers know no less; what is not waited for now is with the next bytes. */
const WAIT_MIN_MS = 1;
/** The longest timer is shorter than what a slow rate may ask for. */
const WAIT_MAX_MS = 3_600_000;

/** Holds background work to a byte rate: what was spent is waited for before the next turn. */
export class ByteRate {
  readonly #clock: Clock;
  #freeAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  spend(bytes: number, bytesPerSecond: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + (bytes / bytesPerSecond) * 1_000;
  }

  /** Resolves when what was spent before is paid off. @throws AbortError when `signal` aborts */
  async turn(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const waitMs = this.#freeAtMs - this.#clock.monotonicMs();
      if (waitMs < WAIT_MIN_MS) return;
      await pause(this.#clock, Math.min(waitMs, WAIT_MAX_MS), signal);
    }
  }
}
