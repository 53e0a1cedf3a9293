import { type Clock, systemClock } from "../core/clock.ts";
import { algorithmOf, type Digest, type DigestAlgorithm } from "../core/digest.ts";
import { hashPiece, PIECE_SIZE_BYTES, type PieceHash } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";
import { abortable } from "./abortable.ts";
import type { BlobFacts, BlobStore, CacheWriter, Expected, Pin } from "./blob-store.ts";
import { CorruptBlobError } from "./corrupt-blob.ts";
import { cutBody } from "./cut-body.ts";
import { factsOf } from "./facts.ts";
import { assertExpected, outOfOrder, unknownBlob, unknownUpload, wrongDigest, wrongSize } from "./refusals.ts";
import type { CutBody, UploadAppend, UploadBinding, UploadStatus, Uploads } from "./uploads.ts";

/** The fake of `BlobStore`, with the doors that tests need. */
export interface MemoryBlobStore extends BlobStore {
  /** Settles bytes at once, as if they had been pushed long ago. */
  put(bytes: Uint8Array, algorithm?: DigestAlgorithm): Digest;
  /** Pins bytes whose digest was checked by the caller. */
  pinBytes(bytes: Uint8Array, facts: BlobFacts, commitId: string): void;
  /** Flips one bit of the copy, as a failing disk would. */
  damage(digest: Digest, offset: number): void;
}

interface Copy {
  readonly bytes: Uint8Array;
  readonly facts: BlobFacts;
  readonly pins: Set<string>;
  settled: boolean;
}

const CHUNK_SIZE_BYTES = 1024 * 1024;

export function createMemoryBlobStore(): MemoryBlobStore {
  return new MemoryStore();
}

export interface MemoryUploadsOptions {
  readonly clock?: Clock;
  readonly expireAfterMs?: number;
}

export function createMemoryUploads(store: MemoryBlobStore, options: MemoryUploadsOptions = {}): Uploads {
  return new MemoryUploads(store, options.clock ?? systemClock, options.expireAfterMs ?? 24 * 3_600_000);
}

class MemoryStore implements MemoryBlobStore {
  readonly #copies = new Map<Digest, Copy>();
  readonly #caching = new Set<Digest>();
  #quarantined = 0;

  put(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): Digest {
    const facts = factsOf(bytes, algorithm);
    this.#copy(bytes, facts).settled = true;
    return facts.digest;
  }

  pinBytes(bytes: Uint8Array, facts: BlobFacts, commitId: string): void {
    this.#copy(bytes, facts).pins.add(commitId);
  }

  damage(digest: Digest, offset: number): void {
    const copy = this.#copies.get(digest);
    if (copy === undefined) throw unknownBlob(digest);
    copy.bytes[offset] = copy.bytes[offset]! ^ 1;
  }

  #copy(bytes: Uint8Array, facts: BlobFacts): Copy {
    const known = this.#copies.get(facts.digest);
    if (known !== undefined) return known;
    const copy = { bytes: Uint8Array.from(bytes), facts, pins: new Set<string>(), settled: false };
    this.#copies.set(facts.digest, copy);
    return copy;
  }

  async stat(digest: Digest): Promise<{ readonly sizeBytes: number; readonly settled: boolean } | undefined> {
    const copy = this.#copies.get(digest);
    return copy === undefined ? undefined : { sizeBytes: copy.facts.sizeBytes, settled: copy.settled };
  }

  async *open(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    signal.throwIfAborted();
    const copy = this.#copies.get(digest);
    if (copy === undefined) throw unknownBlob(digest);
    const end = Math.min(range.end, copy.facts.sizeBytes);
    for (let start = range.start; start < end; ) {
      const piece = Math.floor(start / PIECE_SIZE_BYTES);
      const whole = copy.bytes.subarray(piece * PIECE_SIZE_BYTES, (piece + 1) * PIECE_SIZE_BYTES);
      if (hashPiece(whole) !== copy.facts.pieces[piece])
        throw new CorruptBlobError(digest, piece, `piece ${piece} does not match its hash`);
      for (const stop = Math.min(end, (piece + 1) * PIECE_SIZE_BYTES); start < stop; start += CHUNK_SIZE_BYTES) {
        signal.throwIfAborted();
        yield copy.bytes.slice(start, Math.min(stop, start + CHUNK_SIZE_BYTES));
      }
      start = (piece + 1) * PIECE_SIZE_BYTES;
    }
  }

  async pieces(digest: Digest): Promise<readonly PieceHash[] | undefined> {
    return this.#copies.get(digest)?.facts.pieces;
  }

  async receive(expected: Expected, commitId: string, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<BlobFacts> {
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of abortable(source, signal)) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > expected.sizeBytes) throw wrongSize(expected.sizeBytes, sizeBytes, 0);
      chunks.push(Uint8Array.from(chunk));
    }
    signal.throwIfAborted();
    const bytes = Buffer.concat(chunks);
    const facts = factsOf(bytes, algorithmOf(expected.digest));
    assertExpected(expected, facts);
    this.pinBytes(bytes, facts, commitId);
    return facts;
  }

  async pin(digest: Digest, commitId: string): Promise<BlobFacts | undefined> {
    const copy = this.#copies.get(digest);
    copy?.pins.add(commitId);
    return copy?.facts;
  }

  pins(): readonly Pin[] {
    return [...this.#copies].flatMap(([digest, copy]) => [...copy.pins].map((commitId) => ({ digest, commitId })));
  }

  async settle(pin: Pin, keep: boolean): Promise<void> {
    const copy = this.#copies.get(pin.digest);
    if (copy === undefined) return;
    if (!copy.pins.delete(pin.commitId)) return;
    if (keep) copy.settled = true;
    this.#forgetEmpty(pin.digest, copy);
  }

  async drop(digest: Digest, mayGo: () => boolean): Promise<boolean> {
    const copy = this.#copies.get(digest);
    if (copy?.settled !== true || !mayGo()) return false;
    copy.settled = false;
    this.#forgetEmpty(digest, copy);
    return true;
  }

  #forgetEmpty(digest: Digest, copy: Copy): void {
    if (!copy.settled && copy.pins.size === 0) this.#copies.delete(digest);
  }

  async cacheWriter(expected: Expected): Promise<CacheWriter | undefined> {
    if (this.#caching.has(expected.digest)) return undefined;
    this.#caching.add(expected.digest);
    const pieces = new Map<number, Uint8Array>();
    let ended = false;
    const end = (): void => {
      if (ended) return;
      ended = true;
      this.#caching.delete(expected.digest);
      pieces.clear();
    };
    return {
      write: async (piece, bytes) => {
        if (ended) throw new Error(`the cached copy of ${expected.digest} was finished or abandoned: no piece can be written to it`);
        pieces.set(piece, Uint8Array.from(bytes));
      },
      read: async (piece) => pieces.get(piece),
      finish: async () => {
        const bytes = Buffer.concat([...pieces].sort(([a], [b]) => a - b).map(([, piece]) => piece));
        end();
        const facts = factsOf(bytes, algorithmOf(expected.digest));
        assertExpected(expected, facts);
        this.#copy(bytes, facts).settled = true;
      },
      abandon: async () => end(),
    };
  }

  async quarantine(digest: Digest, _reason: string): Promise<void> {
    if (this.#copies.delete(digest)) this.#quarantined += 1;
  }

  async quarantined(): Promise<number> {
    return this.#quarantined;
  }

  async reread(digest: Digest, onPiece: (sizeBytes: number) => Promise<void>, signal: AbortSignal): Promise<BlobFacts> {
    signal.throwIfAborted();
    const copy = this.#copies.get(digest);
    if (copy === undefined) throw unknownBlob(digest);
    for (let start = 0; start < copy.facts.sizeBytes; start += PIECE_SIZE_BYTES) {
      const end = Math.min(copy.facts.sizeBytes, start + PIECE_SIZE_BYTES);
      for await (const _ of this.open(digest, { start, end }, signal));
      await onPiece(end - start);
    }
    return copy.facts;
  }

  async list(after: string, limit: number): Promise<readonly Digest[]> {
    const settled = [...this.#copies].filter(([digest, copy]) => copy.settled && digest > after);
    return settled
      .map(([digest]) => digest)
      .sort()
      .slice(0, limit);
  }

  usage(): { readonly blobs: number; readonly sizeBytes: number } {
    const settled = [...this.#copies.values()].filter((copy) => copy.settled);
    return { blobs: settled.length, sizeBytes: settled.reduce((sum, copy) => sum + copy.facts.sizeBytes, 0) };
  }
}

interface Session {
  readonly binding: UploadBinding;
  bytes: Uint8Array[];
  offset: number;
  busy: boolean;
  finished: boolean;
  digest: Digest | undefined;
  cut: CutBody | undefined;
  usedMs: number;
}

class MemoryUploads implements Uploads {
  readonly #sessions = new Map<string, Session>();
  readonly #store: MemoryBlobStore;
  readonly #clock: Clock;
  readonly #expireAfterMs: number;

  constructor(store: MemoryBlobStore, clock: Clock, expireAfterMs: number) {
    this.#store = store;
    this.#clock = clock;
    this.#expireAfterMs = expireAfterMs;
  }

  async create(id: string, binding: UploadBinding): Promise<UploadStatus> {
    if (this.#sessions.has(id)) throw new Error(`the upload ${id} exists already: ids are 128 random bits and never used again`);
    const usedMs = this.#clock.monotonicMs();
    const session: Session = { binding, bytes: [], offset: 0, busy: false, finished: false, digest: undefined, cut: undefined, usedMs };
    this.#sessions.set(id, session);
    return statusOf(id, session);
  }

  async status(id: string): Promise<UploadStatus | undefined> {
    const session = this.#sessions.get(id);
    return session === undefined ? undefined : statusOf(id, session);
  }

  async append(id: string, chunk: UploadAppend, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UploadStatus> {
    const session = this.#begin(id);
    const start = session.offset;
    try {
      if (chunk.offset !== undefined && chunk.offset !== start)
        throw outOfOrder(start, "the chunk does not start where the last one ended");
      const room = chunk.sizeBytes ?? Number.POSITIVE_INFINITY;
      for await (const bytes of abortable(source, signal)) {
        if (session.finished && bytes.byteLength > 0) throw outOfOrder(start, "the upload was finished: it takes no more bytes");
        const kept = Uint8Array.from(bytes.subarray(0, Math.max(0, start + room - session.offset)));
        session.bytes.push(kept);
        session.offset += kept.byteLength;
        if (kept.byteLength < bytes.byteLength)
          throw wrongSize(room, session.offset - start + bytes.byteLength - kept.byteLength, session.offset);
      }
      signal.throwIfAborted();
      if (this.#sessions.get(id) !== session) throw unknownUpload(id); // cancelled meanwhile
      const came = session.offset - start;
      if (chunk.sizeBytes !== undefined && came < chunk.sizeBytes) throw wrongSize(chunk.sizeBytes, came, session.offset);
      return statusOf(id, session);
    } catch (error) {
      if (session.offset > start) session.cut = cutBody(chunk, start) ?? session.cut;
      throw error;
    } finally {
      this.#end(session);
    }
  }

  async finish(id: string, digest: Digest, commitId: string, signal: AbortSignal): Promise<BlobFacts> {
    const session = this.#begin(id);
    try {
      signal.throwIfAborted();
      const bytes = Buffer.concat(session.bytes);
      const facts = factsOf(bytes, algorithmOf(digest));
      if (facts.digest !== digest) {
        this.#sessions.delete(id);
        throw wrongDigest(digest, facts.digest);
      }
      this.#store.pinBytes(bytes, facts, commitId);
      session.finished = true;
      return facts;
    } finally {
      this.#end(session);
    }
  }

  /** One at work at a time, on a session that still takes bytes. */
  #begin(id: string): Session {
    const session = this.#sessions.get(id);
    if (session === undefined || session.digest !== undefined) throw unknownUpload(id);
    if (session.busy) throw outOfOrder(session.offset, "another request is writing to this upload");
    session.busy = true;
    return session;
  }

  #end(session: Session): void {
    session.busy = false;
    session.usedMs = this.#clock.monotonicMs();
  }

  async complete(id: string, digest: Digest): Promise<void> {
    const session = this.#sessions.get(id);
    if (session === undefined) return; // cancelled or expired meanwhile: the commit stands all the same
    session.digest = digest;
    session.bytes = [];
    session.usedMs = this.#clock.monotonicMs();
  }

  async cancel(id: string): Promise<boolean> {
    const session = this.#sessions.get(id);
    return session !== undefined && session.digest === undefined && this.#sessions.delete(id);
  }

  async expire(): Promise<number> {
    const before = this.#clock.monotonicMs() - this.#expireAfterMs;
    const idle = [...this.#sessions].filter(([, session]) => !session.busy && session.usedMs < before);
    for (const [id] of idle) this.#sessions.delete(id);
    return idle.length;
  }
}

function statusOf(id: string, session: Session): UploadStatus {
  return { ...session.binding, id, offset: session.offset, finished: session.finished, digest: session.digest, cut: session.cut };
}
