import { OciError } from "../core/errors.ts";

/** What this node sends to its peers and takes from them at the moment, so that a node that stops lets it end. */
export class Transfers {
  #running = 0;
  #refusing = false;
  readonly #waiting = new Set<() => void>();

  /** Runs one, and counts it while it runs. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) for (const wake of this.#waiting) wake();
    }
  }

  /** @throws OciError UNAVAILABLE once this node gives and takes no more: its peers go to others */
  assertOpen(): void {
    if (this.#refusing) throw new OciError("UNAVAILABLE", "this node is stopping");
  }

  /** From now on `assertOpen` throws. Resolves when nothing runs, or when `signal` aborts. */
  async end(signal: AbortSignal): Promise<void> {
    this.#refusing = true;
    if (this.#running === 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    this.#waiting.delete(resolve);
  }
}
