/** Records that are looked at in one turn of the event loop: some 10 us each. */
const AT_ONCE = 128;

/** Lets the event loop go on in the middle of a long list, so that no heartbeat waits for it. */
export class Breath {
  #taken = 0;

  /** To be awaited for each record. Undefined where the turn may go on, which spares a promise. */
  next(): Promise<void> | undefined {
    this.#taken += 1;
    return this.#taken % AT_ONCE === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined;
  }
}
