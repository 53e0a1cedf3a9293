import { createHash } from "node:crypto";
import type { CatalogStore, Change } from "./view.ts";

// A snapshot as a stream of bytes: sections, then the end. A section: u32 length of its rows, their SHA-256, the rows, in the order of their keys, each u32 key
// length, u32 value length, key, value. The end: u32 0xffffffff, u64 number of keys, and the SHA-256 of the sections' hashes, one after the other. Numbers are
// big-endian. A section is used once it is whole and verified, so a stream that was cut goes on after the last one. The cuts between chunks mean nothing.
const END = 0xffffffff;
const CHUNK_BYTES = 256 * 1024;
const LENGTHS_BYTES = 8;
const COUNT_BYTES = 8;
const HASH_BYTES = 32;
const KEY_BYTES_MAX = 4_096;
const VALUE_BYTES_MAX = 16 * 1024 * 1024;
const SECTION_BYTES_MAX = CHUNK_BYTES + LENGTHS_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX;
const ROWS_MIN = 16;
const ROWS_MAX = 512;

/** The bytes are not a snapshot: what was read of it must not be used. */
export class SnapshotError extends Error {
  override readonly name: string = "SnapshotError";
}

/** The stream ended before the snapshot did: what was read so far is good, and another stream may go on from there. */
export class SnapshotCut extends SnapshotError {
  override readonly name = "SnapshotCut";
}

interface Section {
  readonly lastKey: string;
  readonly hash: Uint8Array;
  readonly rows: number;
}

/** Streams one state, as often as it takes: from the beginning, or from where a stream was cut. */
export class SnapshotWriter {
  readonly #store: CatalogStore;
  #sections: Section[] = [];

  /** @param store must not change meanwhile: a snapshot of the database, or a copy */
  constructor(store: CatalogStore) {
    this.#store = store;
  }

  /** Whether a stream may go on after `key`; after "" always. */
  canResume(key: string): boolean {
    return key === "" || this.#sections.some(({ lastKey }) => lastKey === key);
  }

  /**
   * The sections after the one that ends with `after`, and the end, in chunks of at most 256 KiB. One such stream at a time.
   * @throws SnapshotError where no section ends there
   */
  async *chunks(after = ""): AsyncIterable<Uint8Array> {
    if (!this.canResume(after)) throw new SnapshotError("the snapshot cannot go on from there: begin anew");
    this.#sections = this.#sections.slice(0, this.#sections.findIndex(({ lastKey }) => lastKey === after) + 1);
    let rows: Uint8Array[] = [];
    let sizeBytes = 0;
    let last = "";
    for await (const [key, value] of this.#rows(after)) {
      const keyBytes = Buffer.from(key);
      const lengths = Buffer.alloc(LENGTHS_BYTES);
      lengths.writeUInt32BE(keyBytes.byteLength, 0);
      lengths.writeUInt32BE(value.byteLength, 4);
      rows.push(lengths, keyBytes, value);
      sizeBytes += LENGTHS_BYTES + keyBytes.byteLength + value.byteLength;
      last = key;
      if (sizeBytes < CHUNK_BYTES) continue;
      yield* this.#section(rows, last);
      rows = [];
      sizeBytes = 0;
    }
    if (rows.length > 0) yield* this.#section(rows, last);
    yield this.#end();
  }

  *#section(parts: readonly Uint8Array[], lastKey: string): Iterable<Uint8Array> {
    const body = Buffer.concat(parts);
    const hash = createHash("sha256").update(body).digest();
    this.#sections.push({ lastKey, hash, rows: parts.length / 3 });
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.byteLength);
    yield Buffer.concat([length, hash]);
    for (let at = 0; at < body.byteLength; at += CHUNK_BYTES) yield body.subarray(at, at + CHUNK_BYTES);
  }

  #end(): Uint8Array {
    const end = Buffer.alloc(4 + COUNT_BYTES + HASH_BYTES);
    end.writeUInt32BE(END, 0);
    end.writeBigUInt64BE(BigInt(this.#sections.reduce((sum, { rows }) => sum + rows, 0)), 4);
    const total = createHash("sha256");
    for (const { hash } of this.#sections) total.update(hash);
    end.set(total.digest(), 4 + COUNT_BYTES);
    return end;
  }

  /** As many rows a scan as make about a chunk: values may be of a few bytes or of 4 MiB. */
  async *#rows(from: string): AsyncIterable<readonly [string, Uint8Array]> {
    let after = from;
    let limit = ROWS_MIN;
    for (;;) {
      const page = await this.#store.scan("", after, limit);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < limit) return;
      after = last[0];
      const bytes = page.reduce((sum, [, value]) => sum + value.byteLength, 0);
      limit = bytes < CHUNK_BYTES ? Math.min(ROWS_MAX, limit * 2) : Math.max(ROWS_MIN, limit >> 1);
    }
  }
}

/** Reads one snapshot from one stream or from several, each of which goes on where the one before was cut. */
export class SnapshotReader {
  readonly #total = createHash("sha256");
  #lastKey = "";
  #count = 0;
  #whole = false;

  /** The end of what was verified and taken: the next stream is to begin after it. */
  get lastKey(): string {
    return this.#lastKey;
  }

  /** All has been read, and the whole of it verified. */
  get whole(): boolean {
    return this.#whole;
  }

  /**
   * The rows as batches of writes for an empty store, each verified. What was taken counts once the next one is asked for.
   * @throws SnapshotError where the bytes are altered or go on after the end; SnapshotCut where they end early
   */
  async *read(chunks: AsyncIterable<Uint8Array>): AsyncIterable<readonly Change[]> {
    const source = new ChunkReader(chunks[Symbol.asyncIterator]());
    for (;;) {
      const length = (await source.take(4)).readUInt32BE();
      if (length === END) break;
      if (length > SECTION_BYTES_MAX) throw new SnapshotError("the bytes are no snapshot of a catalog: a length in them cannot be");
      const hash = await source.take(HASH_BYTES);
      const body = await source.take(length);
      if (!createHash("sha256").update(body).digest().equals(hash))
        throw new SnapshotError("the snapshot is altered: the SHA-256 of a part does not match; fetch it again");
      const rows = rowsOf(body, this.#lastKey);
      yield rows;
      this.#total.update(hash);
      this.#count += rows.length;
      this.#lastKey = rows.at(-1)?.key ?? this.#lastKey;
    }
    const promised = (await source.take(COUNT_BYTES)).readBigUInt64BE();
    if (promised !== BigInt(this.#count))
      throw new SnapshotError(`the snapshot holds ${this.#count} keys and says that it has ${promised}`);
    if (
      !this.#total
        .copy()
        .digest()
        .equals(await source.take(HASH_BYTES))
    )
      throw new SnapshotError("the snapshot is altered: its SHA-256 does not match; fetch it again");
    if (!(await source.ended())) throw new SnapshotError("the snapshot is altered: bytes follow its end");
    this.#whole = true;
  }
}

function rowsOf(body: Buffer, lastKey: string): Change[] {
  const rows: Change[] = [];
  let before: Buffer = Buffer.from(lastKey);
  for (let at = 0; at < body.byteLength; ) {
    if (at + LENGTHS_BYTES > body.byteLength) throw new SnapshotError("the snapshot is altered: a row is cut off");
    const keyAt = at + LENGTHS_BYTES;
    const valueAt = keyAt + body.readUInt32BE(at);
    const end = valueAt + body.readUInt32BE(at + 4);
    if (valueAt - keyAt > KEY_BYTES_MAX || end > body.byteLength)
      throw new SnapshotError("the snapshot is altered: a length in it cannot be");
    const key = body.subarray(keyAt, valueAt);
    if (Buffer.compare(before, key) >= 0) throw new SnapshotError("the snapshot is altered: its keys are out of order");
    rows.push({ key: key.toString(), value: body.subarray(valueAt, end) });
    before = key;
    at = end;
  }
  return rows;
}

/** Takes exact lengths from chunks cut anywhere. */
class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** The bytes are a copy of their own: a chunk may be a reused buffer of the transport. */
  async take(length: number): Promise<Buffer> {
    if (this.#held.byteLength < length) await this.#fill(length);
    const taken = Buffer.from(this.#held.subarray(0, length));
    this.#held = this.#held.subarray(length);
    return taken;
  }

  async #fill(length: number): Promise<void> {
    const parts: Uint8Array[] = [this.#held];
    let bytes = this.#held.byteLength;
    while (bytes < length) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new SnapshotCut("the snapshot ends early; go on with another stream");
      parts.push(Buffer.from(next.value));
      bytes += next.value.byteLength;
    }
    this.#held = Buffer.concat(parts);
  }

  async ended(): Promise<boolean> {
    if (this.#held.byteLength > 0) return false;
    for (let next = await this.#chunks.next(); next.done !== true; next = await this.#chunks.next()) {
      if (next.value.byteLength > 0) return false;
    }
    return true;
  }
}
