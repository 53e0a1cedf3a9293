/**
 * The source, left at once when the signal aborts, though a read of it may never end. Each read has a promise of its own: `Promise.race` with one that
 * outlives them all would keep every chunk in memory until that one settles. It is no generator, for those take several turns of the queue for each chunk,
 * of which a body of 1 GiB has 16,384.
 */
export function abortable(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterableIterator<Uint8Array> {
  return new AbortableReads(source, signal);
}

class AbortableReads implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #signal: AbortSignal;
  #iterator: AsyncIterator<Uint8Array> | undefined;
  #isOver = false;
  /** Of the read that is under way. */
  #leave: (() => void) | undefined;

  constructor(source: AsyncIterable<Uint8Array>, signal: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#isOver) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#leave = () => {
        reject(this.#signal.reason);
        this.#end();
      };
      if (this.#signal.aborted) return this.#leave();
      this.#begin()
        .next()
        .then(
          (result) => {
            this.#leave = undefined;
            if (result.done === true) this.#over();
            resolve(result);
          },
          (error: unknown) => {
            this.#leave = undefined;
            if (!this.#signal.aborted) this.#over(); // a source that threw is over; one that was left is not
            reject(error);
          },
        );
    });
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  #begin(): AsyncIterator<Uint8Array> {
    if (this.#iterator === undefined) {
      this.#iterator = this.#source[Symbol.asyncIterator]();
      this.#signal.addEventListener("abort", this.#onAbort, { once: true });
    }
    return this.#iterator;
  }

  readonly #onAbort = (): void => this.#leave?.();

  #over(): void {
    this.#isOver = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
  }

  /** Leaves a source that is not over. */
  #end(): void {
    if (this.#isOver) return;
    this.#over();
    this.#iterator?.return?.().catch(() => undefined); // not awaited: a generator answers only after its pending read
  }
}
