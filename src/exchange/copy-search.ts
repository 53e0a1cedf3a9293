import type { Clock } from "../core/clock.ts";
import type { PeerId } from "../core/peer.ts";

/** A search that has found nothing new is not begun again for so long: a fetch of many pieces asks for it at each. */
const AGAIN_MS = 10_000;

export interface CopySearchOptions {
  readonly find: (signal: AbortSignal) => AsyncIterable<PeerId>;
  readonly onFound: (peer: PeerId) => void;
  readonly clock: Clock;
}

interface Running {
  readonly controller: AbortController;
  news: PromiseWithResolvers<void>;
}

/** Looks for cached copies of one blob, once for all of its pieces that need them at the same time. */
export class CopySearch {
  readonly #options: CopySearchOptions;
  #running: Running | undefined;
  #endedMs = Number.NEGATIVE_INFINITY;

  constructor(options: CopySearchOptions) {
    this.#options = options;
  }

  /** @returns resolves when one more copy is known or the search has ended; undefined where it ended a moment ago, and there is nothing to wait for */
  news(): Promise<void> | undefined {
    if (this.#running === undefined) {
      if (this.#options.clock.monotonicMs() - this.#endedMs < AGAIN_MS) return undefined;
      this.#running = { controller: new AbortController(), news: Promise.withResolvers() };
      void this.#run(this.#running);
    }
    return this.#running.news.promise;
  }

  /** Ends the search that runs, where one does. */
  stop(): void {
    this.#running?.controller.abort(new DOMException("nobody reads the blob any more", "AbortError"));
  }

  async #run(running: Running): Promise<void> {
    const { find, onFound, clock } = this.#options;
    try {
      for await (const peer of find(running.controller.signal)) {
        onFound(peer);
        const { resolve } = running.news;
        running.news = Promise.withResolvers();
        resolve();
      }
    } catch {
      // given up with the fetch: what was found is found
    }
    this.#endedMs = clock.monotonicMs();
    this.#running = undefined;
    running.news.resolve();
  }
}
