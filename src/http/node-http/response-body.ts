/** Where a body goes: an engine's response. */
export interface BodySink {
  /** Resolves once the kernel has taken all of the chunk, so that its buffer may be filled anew; rejects when the client is gone. */
  write(chunk: Uint8Array): Promise<void>;
}

/**
 * Streams `source` to the client, two chunks in flight: a chunk is written while the one before it is on its way, and none is
 * asked for before the one two back has left (`HttpStream.open`). The promise of `length` is kept or broken loudly.
 * @throws where the source gives another number of bytes than `length`, or fails; or the client goes. The source is closed either way
 */
export async function sendBody(sink: BodySink, source: AsyncIterable<Uint8Array>, length: number): Promise<void> {
  let sentBytes = 0;
  let previous: Promise<void> | undefined;
  for await (const chunk of source) {
    sentBytes += chunk.byteLength;
    if (sentBytes > length) throw new Error(`a body gave more than the ${length} bytes that its head promised`);
    const written = sink.write(chunk);
    written.catch(() => undefined); // seen when it is awaited, one chunk later
    if (previous !== undefined) await previous;
    previous = written;
  }
  if (sentBytes !== length) throw new Error(`a body gave ${sentBytes} of the ${length} bytes that its head promised`);
  await previous;
}
