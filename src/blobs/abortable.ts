/**
 * The source, left at once when the signal aborts, though a read of it may never end. Each read has a promise of its own: `Promise.race` with one that
 * outlives them all would keep every chunk in memory until that one settles.
 */
export async function* abortable(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  const iterator = source[Symbol.asyncIterator]();
  let leave: (() => void) | undefined;
  const onAbort = (): void => leave?.();
  signal.addEventListener("abort", onAbort, { once: true });
  let isOver = false;
  const read = (): Promise<IteratorResult<Uint8Array>> =>
    new Promise((resolve, reject) => {
      leave = () => reject(signal.reason);
      if (signal.aborted) return leave();
      iterator.next().then(resolve, (error: unknown) => {
        isOver ||= !signal.aborted; // a source that threw is over; one that was left is not
        reject(error);
      });
    });
  try {
    for (;;) {
      const result = await read();
      if (result.done === true) {
        isOver = true;
        return;
      }
      yield result.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (!isOver) iterator.return?.().catch(() => undefined); // not awaited: a generator answers only after its pending read
  }
}
