import type { Digest } from "../core/digest.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";

/** What a full read of the bytes has shown. */
export interface BlobFacts {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly root: PieceHash;
  readonly pieces: readonly PieceHash[];
}

/** What to read, and optionally the memory to read it into. */
export interface ReadRange extends ByteRange {
  /** Asked for each chunk in turn; a buffer may be given again for the third chunk after, as its bytes are valid until then. */
  readonly memory?: (sizeBytes: number) => Uint8Array;
}

/**
 * Verified, immutable bytes on this node, and the pins of commits in flight. Adapters: `memory.ts`, `disk/`.
 * A blob is readable while it is settled (`blobs/`) or pinned (`pending/<digest>.<commit id>`, a hard link to the same bytes).
 */
export interface BlobStore {
  /** Undefined when this node holds no copy, settled or pinned. */
  stat(digest: Digest): Promise<{ readonly sizeBytes: number; readonly settled: boolean } | undefined>;
  /**
   * Bytes `[start, end)`; a chunk stays valid until the iterator has been asked for the second one after it (a ring of reused buffers).
   * @throws OciError BLOB_UNKNOWN where there is no copy; AbortError when `signal` aborts; CorruptBlobError before a piece is handed on that does not
   *   match its hash: quarantine it, and read from another node
   */
  open(digest: Digest, range: ReadRange, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** The piece list, from disk; undefined when this node holds no copy. */
  pieces(digest: Digest): Promise<readonly PieceHash[] | undefined>;
  /**
   * Takes the bytes of a peer or an upstream: hashed, fsynced and pinned under `commitId` on return.
   * @throws OciError DIGEST_INVALID, SIZE_INVALID on mismatch (nothing is kept), INSUFFICIENT_STORAGE where the disk is full
   */
  receive(expected: Expected, commitId: string, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<BlobFacts>;
  /** Pins a blob that is already here under one more commit id; undefined when there is no copy. Durable on return. */
  pin(digest: Digest, commitId: string): Promise<BlobFacts | undefined>;
  /** Pins that stand, also those of an earlier run. */
  pins(): readonly Pin[];
  /**
   * Ends a pin under the digest's lock. `keep`: the applied and synced record lists this node, so the bytes are linked under `blobs/` and the folder
   * fsynced before the pin goes. Otherwise the pin just goes, and with the last one the bytes that are not settled.
   */
  settle(pin: Pin, keep: boolean): Promise<void>;
  /**
   * Removes the settled bytes under the digest's lock.
   * @param mayGo asked under the lock, against the applied and synced state; false keeps them
   */
  drop(digest: Digest, mayGo: () => boolean): Promise<boolean>;
  /** A place for a cached copy that is written while it is read by the client; see `CacheWriter`. Undefined where one is being written already. */
  cacheWriter(expected: Expected): Promise<CacheWriter | undefined>;
  /** Moves a copy that proved bad to `quarantine/`, never to be served again. */
  quarantine(digest: Digest, reason: string): Promise<void>;
  /** Copies that lie in quarantine, until somebody has looked at them and removed them. */
  quarantined(): Promise<number>;
  /**
   * Reads the whole copy again, a piece at a time, whatever was verified before: what has rotted on the disk since shows.
   * @param onPiece awaited after each piece that is good, so that the caller sets the pace
   * @throws OciError BLOB_UNKNOWN where there is no copy; AbortError; CorruptBlobError; see `isBadCopy`
   */
  reread(digest: Digest, onPiece: (sizeBytes: number) => Promise<void>, signal: AbortSignal): Promise<BlobFacts>;
  /** Digests of settled copies, sorted; strictly after `after`. */
  list(after: string, limit: number): Promise<readonly Digest[]>;
  usage(): { readonly blobs: number; readonly sizeBytes: number };
}

export interface Expected {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Undefined where no record says it yet. */
  readonly root: PieceHash | undefined;
}

export interface Pin {
  readonly digest: Digest;
  readonly commitId: string;
}

/** Pieces of a blob that is being fetched, in any order, verified by the caller; readable by others as soon as they are written. */
export interface CacheWriter {
  write(piece: number, bytes: Uint8Array): Promise<void>;
  /** A piece that was written, so that a node that is still downloading already serves it; undefined where it is not there yet. */
  read(piece: number): Promise<Uint8Array | undefined>;
  /**
   * All pieces are there: fsynced, checked, and settled as a cached copy.
   * @param pieces the list that the caller has verified each piece against: where its root is the expected one, the bytes are not hashed again before a
   *   reader comes for them; otherwise all of them are, against the digest
   */
  finish(pieces?: readonly PieceHash[]): Promise<void>;
  abandon(): Promise<void>;
}
