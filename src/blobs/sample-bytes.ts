import { seededRandom } from "../core/random.ts";

/** Bytes that do not compress or repeat, the same for the same seed. For tests alone. */
export function sampleBytes(sizeBytes: number, seed: number): Uint8Array {
  const block = seededRandom(seed).bytes(Math.min(sizeBytes, 8_191)); // a prime: no piece equals another
  const bytes = new Uint8Array(sizeBytes);
  for (let start = 0; start < sizeBytes; start += block.byteLength) bytes.set(block.subarray(0, sizeBytes - start), start);
  return bytes;
}

/** A body in chunks of one reused buffer, as sockets and exchanges bring it. */
export async function* bodyOf(bytes: Uint8Array, chunkSizeBytes = 65_536): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(chunkSizeBytes, bytes.byteLength));
  for (let start = 0; start < bytes.byteLength; start += chunkSizeBytes) {
    const part = bytes.subarray(start, start + chunkSizeBytes);
    buffer.set(part);
    yield buffer.subarray(0, part.byteLength);
  }
}

/** A body that breaks off with `error` behind its bytes. */
export async function* brokenBody(bytes: Uint8Array, error: Error): AsyncGenerator<Uint8Array> {
  yield* bodyOf(bytes);
  throw error;
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk)); // a copy: buffers are reused
  return Buffer.concat(chunks);
}
