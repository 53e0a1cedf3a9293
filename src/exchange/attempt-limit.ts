import type { Clock } from "../core/clock.ts";

/** Failures by key (a remote address) in a sliding window. */
export class AttemptLimit {
  readonly #failures = new Map<string, number[]>();
  readonly #clock: Clock;
  readonly #failuresMax: number;
  readonly #windowMs: number;
  readonly #keysMax = 10_000;

  constructor(clock: Clock, failuresMax: number, windowMs: number) {
    this.#clock = clock;
    this.#failuresMax = failuresMax;
    this.#windowMs = windowMs;
  }

  isBlocked(key: string): boolean {
    return this.#recent(key).length >= this.#failuresMax;
  }

  failed(key: string): void {
    const recent = [...this.#recent(key), this.#clock.monotonicMs()];
    this.#failures.delete(key); // to the end: the oldest keys go first
    this.#failures.set(key, recent);
    const oldest = this.#failures.keys().next().value;
    if (this.#failures.size > this.#keysMax && oldest !== undefined) this.#failures.delete(oldest);
  }

  /** Takes the latest failure back: the attempt was none. */
  forgive(key: string): void {
    const recent = this.#recent(key).slice(0, -1);
    if (recent.length === 0) this.#failures.delete(key);
    else this.#failures.set(key, recent);
  }

  #recent(key: string): number[] {
    const since = this.#clock.monotonicMs() - this.#windowMs;
    return (this.#failures.get(key) ?? []).filter((atMs) => atMs > since);
  }
}
