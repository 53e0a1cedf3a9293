/** The source, left at once when the signal aborts, though a read of it may never end. */
export async function* abortable(source: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  const iterator = source[Symbol.asyncIterator]();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  aborted.catch(() => undefined); // it may never be awaited
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  let isOver = false;
  try {
    while (true) {
      const result = await Promise.race([iterator.next(), aborted]).catch((error: unknown) => {
        isOver = !signal.aborted; // a source that threw is over; one that was left is not
        throw error;
      });
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
