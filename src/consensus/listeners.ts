import type { Log } from "../core/log.ts";

/** Listeners whose failures stay their own: what has applied has applied. */
export class Listeners<T> {
  readonly #log: Log;
  readonly #listeners = new Set<(value: T) => void>();

  constructor(log: Log) {
    this.#log = log;
  }

  add(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(value: T): void {
    for (const listener of this.#listeners) {
      try {
        listener(value);
      } catch (error) {
        this.#log.error(
          { error: error instanceof Error ? (error.stack ?? error.message) : String(error) },
          "a listener of consensus failed",
        );
      }
    }
  }
}
