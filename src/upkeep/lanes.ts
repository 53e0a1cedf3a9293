/** Several at once where they are small: a round trip each, and not one after the other. */
const LANES = 8;
const BYTES_AT_ONCE = 8 * 1024 * 1024;

/**
 * Runs work beside each other: one at a time until one has come to something, several from then on while their sizes together are small. So what fails, because a
 * member is away say, costs one attempt and not eight.
 */
export class Lanes {
  readonly #running = new Set<Promise<void>>();
  #sizeBytes = 0;
  #isWide = false;
  #failure: { readonly error: unknown } | undefined;

  /**
   * Resolves when it has begun.
   * @param work answers whether it came to something
   * @throws what an earlier one threw
   */
  async begin(sizeBytes: number, work: () => Promise<boolean>): Promise<void> {
    while (!this.#hasRoom(sizeBytes)) await Promise.race(this.#running);
    this.#throwFailure();
    this.#sizeBytes += sizeBytes;
    const running = work()
      .then((isDone) => {
        this.#isWide = isDone;
      })
      .catch((error: unknown) => {
        this.#isWide = false;
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#sizeBytes -= sizeBytes;
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  /** Resolves when all have ended. @throws what one of them threw */
  async end(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.#throwFailure();
  }

  #hasRoom(sizeBytes: number): boolean {
    if (this.#running.size === 0) return true;
    return this.#isWide && this.#running.size < LANES && this.#sizeBytes + sizeBytes <= BYTES_AT_ONCE;
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }
}
