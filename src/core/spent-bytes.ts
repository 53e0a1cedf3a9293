/** Below this a chunk is left to the collector: care of it by hand would cost more than it saves. */
const SIZE_MIN_BYTES = 16 * 1024;

const handedOver = new WeakSet<Uint8Array>();

/**
 * Declares that whoever reads this chunk next is its only holder, so that he may take its memory over, or free it. V8 counts the memory of buffers, but
 * frees it only in its collections: a body of 1 GiB in chunks of 64 KiB costs a hundred major ones, half of all processor time of a push.
 */
export function handOver(chunk: Uint8Array): Uint8Array {
  const isWhole = chunk.byteOffset === 0 && chunk.byteLength === chunk.buffer.byteLength; // not a part of memory that others use
  if (isWhole && chunk.byteLength >= SIZE_MIN_BYTES) handedOver.add(chunk);
  return chunk;
}

/** The same chunk where it was handed over, and now for once: its memory may be transferred or freed. Undefined for any other. */
export function takeOver(chunk: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  return handedOver.delete(chunk) && chunk.buffer instanceof ArrayBuffer ? (chunk as Uint8Array<ArrayBuffer>) : undefined;
}

/** Frees the memory of a chunk at once if it was handed over; it is empty from then on. Any other is left as it is. */
export function discard(chunk: Uint8Array): void {
  takeOver(chunk)?.buffer.transfer(0);
}
