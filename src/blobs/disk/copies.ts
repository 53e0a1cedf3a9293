import { LRUCache } from "lru-cache";
import { algorithmOf, type Digest, hexOf } from "../../core/digest.ts";
import { systemCode } from "../../core/errors.ts";
import { PIECE_SIZE_BYTES, type PieceHash, pieceCount, pieceRoot } from "../../core/pieces.ts";
import type { BlobFacts } from "../blob-store.ts";
import { CorruptBlobError } from "../corrupt-blob.ts";
import type { FileStat, FileSystem, OpenFile } from "./file-system.ts";
import { type HashPool, scanFile } from "./hash-pool.ts";
import type { Layout } from "./layout.ts";
import { readPieceList, writePieceList } from "./piece-list.ts";

const COPIES_MAX = 65_536;
const PIECE_HASHES_MAX = 65_536;
export const SMALL_SIZE_BYTES = 256 * 1024;
const SMALL_TOTAL_BYTES = 16 * 1024 * 1024;

/** What this process knows of a copy. */
export interface Copy {
  readonly sizeBytes: number;
  settled: boolean;
  /** The state of the file in which its pieces were verified. Another state (a write changes it) is verified anew. */
  stamp: FileStat | undefined;
  /** Pieces verified in that state; `all` once none is missing. */
  verified: Set<number> | "all";
}

export function isSameState(a: FileStat, b: FileStat): boolean {
  return a.ino === b.ino && a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}

/** The same bytes by the same writer; a link more or less alone changes `ctimeNs`. */
export function isSameContent(a: FileStat, b: FileStat): boolean {
  return a.ino === b.ino && a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs;
}

/** What is known in memory of the copies here: sizes, verified states, piece lists, and the bytes of small ones. */
export class Copies {
  readonly small = new LRUCache<Digest, Uint8Array>({ maxSize: SMALL_TOTAL_BYTES, sizeCalculation: (bytes) => bytes.byteLength + 512 });
  readonly #copies = new LRUCache<Digest, Copy>({ max: COPIES_MAX });
  readonly #lists = new LRUCache<Digest, readonly PieceHash[]>({ maxSize: PIECE_HASHES_MAX, sizeCalculation: (list) => list.length });
  readonly #running = new Map<string, Promise<void>>();
  readonly #fs: FileSystem;
  readonly #layout: Layout;
  readonly #pool: HashPool;

  constructor(fs: FileSystem, layout: Layout, pool: HashPool) {
    this.#fs = fs;
    this.#layout = layout;
    this.#pool = pool;
  }

  get(digest: Digest): Copy | undefined {
    return this.#copies.get(digest);
  }

  set(digest: Digest, copy: Copy): void {
    this.#copies.set(digest, copy);
  }

  forget(digest: Digest): void {
    this.#copies.delete(digest);
    this.#lists.delete(digest);
    this.small.delete(digest);
  }

  /** Bytes that were hashed on their way to the disk need no second reading. */
  learn(facts: BlobFacts, stat: FileStat, { settled, isHashed }: { readonly settled: boolean; readonly isHashed: boolean }): void {
    const verified = isHashed ? "all" : new Set<number>();
    this.#copies.set(facts.digest, { sizeBytes: facts.sizeBytes, settled, stamp: stat, verified });
    this.#lists.set(facts.digest, facts.pieces);
  }

  /** After a link or unlink of our own, which changed nothing but the count of links. */
  refresh(digest: Digest, stat: FileStat): void {
    const copy = this.#copies.get(digest);
    if (copy?.stamp !== undefined && isSameContent(copy.stamp, stat)) copy.stamp = stat;
  }

  /** Whether a list beside the blob is needed: the one piece of a sha256 blob has the digest itself for its hash. */
  async keepList(facts: BlobFacts): Promise<void> {
    if (facts.pieces.length === 1 && algorithmOf(facts.digest) === "sha256") return;
    await writePieceList(this.#fs, this.#layout.pieceList(facts.digest), facts.pieces);
  }

  /** The list, made anew from the bytes where it is missing or torn: they must match the digest then. @throws CorruptBlobError */
  async pieces(digest: Digest, file: OpenFile, sizeBytes: number, signal: AbortSignal): Promise<readonly PieceHash[]> {
    const count = pieceCount(sizeBytes);
    if (count === 1 && algorithmOf(digest) === "sha256") return [hexOf(digest) as PieceHash];
    const known = this.#lists.get(digest) ?? (await readPieceList(this.#fs, this.#layout.pieceList(digest), count));
    if (known !== undefined) {
      this.#lists.set(digest, known);
      return known;
    }
    const facts = await scanFile(this.#pool, file.fd, sizeBytes, digest, signal).catch((error: unknown) => {
      throw systemCode(error) === "SHORT" ? new CorruptBlobError(digest, undefined, "the file is cut off") : error;
    });
    if (facts.digest !== digest) throw new CorruptBlobError(digest, undefined, "its bytes have another digest");
    await this.keepList(facts).catch(() => undefined); // it is made again when it is needed again
    this.#lists.set(digest, facts.pieces);
    return facts.pieces;
  }

  /** Of a file in the state `stat`: what is verified of it, empty where that state is new. */
  verification(digest: Digest, stat: FileStat): Copy {
    const known = this.#copies.get(digest);
    if (known?.stamp !== undefined && isSameState(known.stamp, stat)) return known;
    const copy = known ?? { sizeBytes: stat.sizeBytes, settled: false, stamp: stat, verified: new Set<number>() };
    copy.stamp = stat;
    copy.verified = new Set();
    return copy;
  }

  /** Reads and hashes a piece in a worker unless it is verified already; those that ask for the same one share the work. @throws CorruptBlobError */
  async verify(digest: Digest, copy: Copy, file: OpenFile, pieces: readonly PieceHash[], piece: number): Promise<void> {
    const { stamp, verified } = copy;
    if (verified === "all" || verified.has(piece)) return;
    const key = `${digest} ${piece} ${stamp?.ino} ${stamp?.mtimeNs} ${stamp?.ctimeNs}`;
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const work = this.#verify(digest, copy, file, pieces, piece, verified).finally(() => this.#running.delete(key));
    this.#running.set(key, work);
    return work;
  }

  async #verify(
    digest: Digest,
    copy: Copy,
    file: OpenFile,
    pieces: readonly PieceHash[],
    piece: number,
    verified: Set<number>,
  ): Promise<void> {
    const start = piece * PIECE_SIZE_BYTES;
    const end = Math.min(copy.sizeBytes, start + PIECE_SIZE_BYTES);
    const hash = await this.#pool.hashPiece(file.fd, start, end).catch((error: unknown) => {
      if (systemCode(error) === "SHORT" || systemCode(error) === "EIO")
        throw new CorruptBlobError(digest, piece, `piece ${piece} cannot be read`);
      throw error;
    });
    if (hash !== pieces[piece]) throw new CorruptBlobError(digest, piece, `piece ${piece} does not match its hash`);
    if (copy.verified !== verified) return; // the file has changed meanwhile
    verified.add(piece);
    if (verified.size === pieces.length) copy.verified = "all";
  }

  /** Every piece, a few at a time. @throws CorruptBlobError */
  async verifyAll(digest: Digest, file: OpenFile, signal: AbortSignal): Promise<BlobFacts> {
    const stat = await file.stat();
    const copy = this.verification(digest, stat);
    if (stat.sizeBytes !== copy.sizeBytes)
      throw new CorruptBlobError(digest, undefined, `it has ${stat.sizeBytes} bytes, not ${copy.sizeBytes}`);
    const pieces = await this.pieces(digest, file, stat.sizeBytes, signal);
    for (let piece = 0; piece < pieces.length; piece += 2) {
      signal.throwIfAborted();
      const pair = pieces.slice(piece, piece + 2).map((_, index) => this.verify(digest, copy, file, pieces, piece + index));
      for (const result of await Promise.allSettled(pair)) if (result.status === "rejected") throw result.reason;
    }
    return { digest, sizeBytes: stat.sizeBytes, root: pieceRoot(pieces), pieces };
  }
}
