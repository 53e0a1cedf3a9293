import { createHash, type Hash } from "node:crypto";
import type { CatalogStore, Change } from "./view.ts";

// A snapshot as a stream of bytes: magic, then for each key in order u32 key length, u32 value length, key, value; then u32 0xffffffff, u64 number of keys,
// and the SHA-256 of all that came before it. Numbers are big-endian. The cuts between chunks mean nothing.
const MAGIC = Buffer.from("RSSNAP1\n", "latin1");
const END = 0xffffffff;
const CHUNK_BYTES = 256 * 1024;
const LENGTHS_BYTES = 8;
const COUNT_BYTES = 8;
const HASH_BYTES = 32;
const KEY_BYTES_MAX = 4_096;
const VALUE_BYTES_MAX = 16 * 1024 * 1024;
const BATCH_BYTES = 1024 * 1024;
const ROWS_MIN = 16;
const ROWS_MAX = 512;

/** The bytes are not a snapshot, or not the whole of it: what was read of it must not be used. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
}

/**
 * All keys and values, in order, in chunks of about 256 KiB.
 * @param store must not change meanwhile: a snapshot of the database, or a copy
 */
export async function* snapshotChunks(store: CatalogStore): AsyncIterable<Uint8Array> {
  const hash = createHash("sha256");
  let pending: Uint8Array[] = [MAGIC];
  let pendingBytes = MAGIC.byteLength;
  let count = 0;
  for await (const [key, value] of rows(store)) {
    const keyBytes = Buffer.from(key);
    const lengths = Buffer.alloc(LENGTHS_BYTES);
    lengths.writeUInt32BE(keyBytes.byteLength, 0);
    lengths.writeUInt32BE(value.byteLength, 4);
    pending.push(lengths, keyBytes, value);
    pendingBytes += LENGTHS_BYTES + keyBytes.byteLength + value.byteLength;
    count += 1;
    if (pendingBytes < CHUNK_BYTES) continue;
    yield* cut(Buffer.concat(pending), hash);
    pending = [];
    pendingBytes = 0;
  }
  const end = Buffer.alloc(4 + COUNT_BYTES);
  end.writeUInt32BE(END, 0);
  end.writeBigUInt64BE(BigInt(count), 4);
  yield* cut(Buffer.concat([...pending, end]), hash);
  yield hash.digest();
}

function* cut(bytes: Buffer, hash: Hash): Iterable<Uint8Array> {
  hash.update(bytes);
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

/** As many rows a scan as make about a chunk: values may be of a few bytes or of 4 MiB. */
async function* rows(store: CatalogStore): AsyncIterable<readonly [string, Uint8Array]> {
  let after = "";
  let limit = ROWS_MIN;
  for (;;) {
    const page = await store.scan("", after, limit);
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < limit) return;
    after = last[0];
    const bytes = page.reduce((sum, [, value]) => sum + value.byteLength, 0);
    limit = bytes < CHUNK_BYTES ? Math.min(ROWS_MAX, limit * 2) : Math.max(ROWS_MIN, limit >> 1);
  }
}

/**
 * The rows of a snapshot as batches of writes for an empty store. Batches come before the whole has been verified: the store that takes them may be used
 * only once the iteration has ended.
 * @throws SnapshotError where the bytes are altered, cut short, or go on after the end
 */
export async function* readSnapshot(chunks: AsyncIterable<Uint8Array>): AsyncIterable<readonly Change[]> {
  const reader = new SnapshotReader(chunks[Symbol.asyncIterator]());
  if (!MAGIC.equals(await reader.take(MAGIC.byteLength)))
    throw new SnapshotError("the bytes are no snapshot of a catalog: their first line is unknown");
  let batch: Change[] = [];
  let batchBytes = 0;
  let count = 0;
  let before: Buffer = Buffer.alloc(0);
  for (;;) {
    const keyBytes = (await reader.take(4)).readUInt32BE();
    if (keyBytes === END) break;
    const valueBytes = (await reader.take(4)).readUInt32BE();
    if (keyBytes > KEY_BYTES_MAX || valueBytes > VALUE_BYTES_MAX)
      throw new SnapshotError("the snapshot is altered: a length in it cannot be");
    const key = await reader.take(keyBytes);
    if (Buffer.compare(before, key) >= 0) throw new SnapshotError("the snapshot is altered: its keys are out of order");
    before = key;
    batch.push({ key: key.toString(), value: await reader.take(valueBytes) });
    batchBytes += keyBytes + valueBytes;
    count += 1;
    if (batchBytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    batchBytes = 0;
  }
  const promised = (await reader.take(COUNT_BYTES)).readBigUInt64BE();
  const sum = reader.digest();
  if (promised !== BigInt(count)) throw new SnapshotError(`the snapshot holds ${count} keys and says that it has ${promised}`);
  if (!sum.equals(await reader.take(HASH_BYTES)))
    throw new SnapshotError("the snapshot is altered: its SHA-256 does not match; fetch it again");
  if (!(await reader.ended())) throw new SnapshotError("the snapshot is altered: bytes follow its end");
  if (batch.length > 0) yield batch;
}

/** Takes exact lengths from chunks cut anywhere, and hashes what it gives. */
class SnapshotReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #hash = createHash("sha256");
  #held: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** The bytes are a copy of their own, so that a small value keeps no chunk alive. */
  async take(length: number): Promise<Buffer> {
    if (this.#held.byteLength < length) await this.#fill(length);
    const taken = Buffer.from(this.#held.subarray(0, length));
    this.#held = this.#held.subarray(length);
    this.#hash.update(taken);
    return taken;
  }

  async #fill(length: number): Promise<void> {
    const parts: Uint8Array[] = [this.#held];
    let bytes = this.#held.byteLength;
    while (bytes < length) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new SnapshotError("the snapshot ends early; fetch it again");
      // a chunk may be a reused buffer of the transport
      parts.push(Buffer.from(next.value));
      bytes += next.value.byteLength;
    }
    this.#held = Buffer.concat(parts);
  }

  /** Of all that was taken so far. */
  digest(): Buffer {
    return this.#hash.copy().digest();
  }

  async ended(): Promise<boolean> {
    if (this.#held.byteLength > 0) return false;
    for (let next = await this.#chunks.next(); next.done !== true; next = await this.#chunks.next()) {
      if (next.value.byteLength > 0) return false;
    }
    return true;
  }
}
