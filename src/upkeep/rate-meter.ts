import type { Clock } from "../core/clock.ts";

/** A burst is forgotten to a third in so long. */
const MEMORY_MS = 10_000;

/** Bytes a second as of late, and in all. */
export class RateMeter {
  readonly #clock: Clock;
  #bytesPerMs = 0;
  #seenMs: number;
  #totalBytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#seenMs = clock.monotonicMs();
  }

  add(bytes: number): void {
    this.#decay();
    this.#bytesPerMs += bytes / MEMORY_MS;
    this.#totalBytes += bytes;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  bytesPerSecond(): number {
    this.#decay();
    return Math.round(this.#bytesPerMs * 1_000);
  }

  #decay(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#bytesPerMs *= Math.exp((this.#seenMs - nowMs) / MEMORY_MS);
    this.#seenMs = nowMs;
  }
}
