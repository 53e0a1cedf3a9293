import type { Clock } from "../core/clock.ts";
import { algorithmOf, type Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import { PIECE_SIZE_BYTES, type PieceHash, pieceCount, pieceRoot } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";
import { abortError, untilAborted } from "./abort.ts";
import { CopySearch } from "./copy-search.ts";
import type { LocalBlobs, Wanted } from "./exchange.ts";
import { digestAside, hashPieceAside } from "./hashing.ts";
import type { PeerLink, PieceReply } from "./link.ts";
import type { PeerTable } from "./peer-table.ts";
import { PieceMemory } from "./piece-memory.ts";
import { type RaceLimits, racePiece } from "./piece-race.ts";

type CacheWriter = NonNullable<Awaited<ReturnType<LocalBlobs["cacheWriter"]>>>;

/** What all fetches of a node share. */
export interface FetchSettings {
  readonly link: PeerLink;
  readonly blobs: LocalBlobs;
  readonly peers: PeerTable;
  readonly clock: Clock;
  readonly log: Log;
  readonly race: RaceLimits;
  /** Pieces that one reader asks for ahead of the one it passes on. */
  readonly readAhead: number;
  /** Read-ahead over all fetches; the piece that a reader waits for is never held back. */
  readonly readAheadTokens: Tokens;
  /** Members that have announced a cached copy. */
  readonly find: (digest: Digest, signal: AbortSignal) => AsyncIterable<PeerId>;
  /** A cached copy is whole and settled. */
  readonly onCached: (digest: Digest) => void;
  readonly onBadCopy: (peer: PeerId, wanted: Wanted) => void;
}

/** A count that cannot be waited on: who gets none does without. */
export class Tokens {
  #left: number;

  constructor(count: number) {
    this.#left = count;
  }

  take(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }

  give(): void {
    this.#left += 1;
  }
}

/** A piece in flight or in memory, for as long as a reader has a use for it. */
interface Piece {
  readonly bytes: Promise<Uint8Array>;
  readonly controller: AbortController;
  users: number;
  ahead: boolean;
  /** A reader left while chunks of it may be on their way to a client: its memory is the collector's. */
  inUse: boolean;
}

/** What is yielded at once; a piece goes out in several, so that a slow client holds little in its socket. */
const CHUNK_SIZE_BYTES = 1024 * 1024;

/**
 * One blob on its way here, shared by all who read it now. Each reader walks at its own pace: a piece that another has asked for is shared, one
 * that has left memory is read back from the cached copy that grows beside it, and only then asked from a peer again. So a slow reader holds up
 * nobody, and N readers cost the holders one copy.
 */
export class BlobFetch {
  readonly #settings: FetchSettings;
  readonly #wanted: Wanted;
  readonly #holders: Set<PeerId>;
  readonly #bad = new Set<PeerId>();
  readonly #pieces = new Map<number, Piece>();
  readonly #memory = new PieceMemory();
  readonly #stored = new Map<number, Promise<void>>();
  readonly #onIdle: () => void;
  readonly #search: CopySearch;
  #list: readonly PieceHash[] | undefined;
  #cache: Promise<CacheWriter | undefined> | undefined;
  #cacheFailed = false;
  #readers = 0;
  #finishing: Promise<void> | undefined;

  /** @param onIdle called when nobody reads any more and the cached copy is settled or given up */
  constructor(settings: FetchSettings, wanted: Wanted, list: readonly PieceHash[] | undefined, onIdle: () => void) {
    this.#settings = settings;
    this.#wanted = wanted;
    this.#holders = new Set(wanted.holders);
    this.#list = list;
    this.#onIdle = onIdle;
    this.#search = searchFor(settings, wanted.digest, (peer) => void this.#holders.add(peer));
  }

  /** The verified list, once a holder has given it. */
  get list(): readonly PieceHash[] | undefined {
    return this.#list;
  }

  get count(): number {
    return pieceCount(this.#wanted.sizeBytes);
  }

  addHolders(holders: readonly PeerId[]): void {
    for (const holder of holders) this.#holders.add(holder);
  }

  async *read(range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const whole = range.start === 0 && range.end === this.#wanted.sizeBytes;
    const last = Math.max(0, Math.ceil(range.end / PIECE_SIZE_BYTES) - 1);
    const claims = new Map<number, Piece>();
    let begun = false;
    let passed: number | undefined; // its last chunk is with the reader until he has asked for the second one after it
    this.#readers += 1;
    try {
      if (whole) this.#cache ??= this.#openCache();
      for (let index = Math.floor(range.start / PIECE_SIZE_BYTES); index <= last; index += 1) {
        const piece = claims.get(index) ?? this.#claim(claims, index, false);
        this.#reached(piece);
        if (begun) this.#claimAhead(claims, index, last);
        const bytes = await untilAborted(piece.bytes, signal);
        const stored = whole ? this.#store(index, bytes) : undefined;
        const offset = index * PIECE_SIZE_BYTES;
        for (const chunk of chunksOf(bytes, Math.max(0, range.start - offset), Math.min(bytes.byteLength, range.end - offset), signal)) {
          yield chunk;
          if (!begun) this.#claimAhead(claims, index, last); // the first piece has the line to itself: the client waits for its first byte
          begun = true;
        }
        await stored;
        if (passed !== undefined) this.#release(claims, passed, true);
        passed = index;
      }
    } finally {
      for (const index of [...claims.keys()]) this.#release(claims, index, false);
      this.#readers -= 1;
      if (this.#readers === 0) this.#leave();
    }
  }

  /** Resolves once the cached copy is settled or given up. */
  async settled(): Promise<void> {
    await this.#finishing;
  }

  #claimAhead(claims: Map<number, Piece>, index: number, last: number): void {
    for (let ahead = index + 1; ahead <= Math.min(last, index + this.#settings.readAhead); ahead += 1) {
      if (claims.has(ahead)) continue;
      if (!this.#pieces.has(ahead) && !this.#settings.readAheadTokens.take()) return;
      this.#claim(claims, ahead, true);
    }
  }

  #claim(claims: Map<number, Piece>, index: number, ahead: boolean): Piece {
    let piece = this.#pieces.get(index);
    if (piece === undefined) {
      const controller = new AbortController();
      piece = { bytes: this.#obtain(index, controller.signal), controller, users: 0, ahead, inUse: false };
      piece.bytes.catch(() => {}); // read ahead: nobody may be waiting yet
      this.#pieces.set(index, piece);
    }
    piece.users += 1;
    claims.set(index, piece);
    return piece;
  }

  #reached(piece: Piece): void {
    if (piece.ahead) this.#settings.readAheadTokens.give();
    piece.ahead = false;
  }

  /** @param isSpent nothing of the piece is with this reader any more */
  #release(claims: Map<number, Piece>, index: number, isSpent: boolean): void {
    const piece = claims.get(index);
    if (piece === undefined) return;
    claims.delete(index);
    piece.users -= 1;
    piece.inUse ||= !isSpent;
    if (piece.users > 0) return;
    this.#reached(piece);
    this.#pieces.delete(index);
    piece.controller.abort(abortError("nobody waits for the piece any more"));
    if (!piece.inUse) void piece.bytes.then((bytes) => this.#memory.give(bytes)); // every reader has had it whole
  }

  async #obtain(index: number, signal: AbortSignal): Promise<Uint8Array> {
    const cached = this.#stored.has(index) ? await this.#readBack(index) : undefined;
    if (cached !== undefined) return cached;
    const start = index * PIECE_SIZE_BYTES;
    const range = { start, end: Math.min(this.#wanted.sizeBytes, start + PIECE_SIZE_BYTES) };
    const { link, peers, clock, race } = this.#settings;
    return racePiece(
      {
        link,
        peers,
        clock,
        limits: race,
        request: () => ({
          digest: this.#wanted.digest,
          range,
          list: this.count > 1 && this.#list === undefined,
          memory: this.#memory.take,
        }),
        holders: () => [...this.#holders].filter((peer) => !this.#bad.has(peer) && peer !== link.self),
        verify: (peer, reply) => this.#verify(peer, reply, index, range.end - range.start),
        lacking: (peer) => void this.#bad.add(peer),
        findMore: () => this.#search.news(),
      },
      signal,
    );
  }

  /** G6: against the list whose root is in the record, or against the digest itself where there is no list. */
  async #verify(peer: PeerId, reply: PieceReply, index: number, sizeBytes: number): Promise<boolean> {
    if (reply.pieces !== undefined && this.#list === undefined && this.#isTrue(reply.pieces)) this.#list = reply.pieces;
    const good =
      reply.sizeBytes === this.#wanted.sizeBytes &&
      reply.bytes.byteLength === sizeBytes &&
      (await this.#isGood(index, reply.bytes, reply.hash));
    if (good) return true;
    this.#bad.add(peer);
    this.#settings.onBadCopy(peer, this.#wanted);
    return false;
  }

  #isTrue(pieces: readonly PieceHash[]): boolean {
    return pieces.length === this.count && pieceRoot(pieces) === this.#wanted.root;
  }

  /** @param hashed SHA-256 of the bytes, where it is made as they come */
  async #isGood(index: number, bytes: Uint8Array, hashed?: Promise<PieceHash>): Promise<boolean> {
    const { digest } = this.#wanted;
    const known = await hashed;
    if (this.count > 1) return this.#list !== undefined && (known ?? (await hashPieceAside(bytes))) === this.#list[index];
    const isKnown = known !== undefined && algorithmOf(digest) === "sha256";
    return (isKnown ? `sha256:${known}` : await digestAside(bytes, digest)) === digest;
  }

  async #openCache(): Promise<CacheWriter | undefined> {
    const { digest, sizeBytes, root } = this.#wanted;
    try {
      return await this.#settings.blobs.cacheWriter({ digest, sizeBytes, root });
    } catch (error) {
      this.#settings.log.warn({ digest, error }, "no cached copy is kept of a blob that is being fetched");
      return undefined;
    }
  }

  /** Each piece once, whoever comes by first. A cache that fails costs the client nothing. */
  #store(index: number, bytes: Uint8Array): Promise<void> {
    let stored = this.#stored.get(index);
    if (stored === undefined) {
      stored = this.#write(index, bytes);
      this.#stored.set(index, stored);
    }
    return stored;
  }

  async #write(index: number, bytes: Uint8Array): Promise<void> {
    const cache = await this.#cache;
    if (cache === undefined || this.#cacheFailed) return;
    try {
      await cache.write(index, bytes);
    } catch (error) {
      this.#cacheFailed = true;
      this.#settings.log.warn(
        { digest: this.#wanted.digest, error },
        "the cached copy of a blob could not be written: the pull goes on without",
      );
    }
  }

  async #readBack(index: number): Promise<Uint8Array | undefined> {
    try {
      await this.#stored.get(index);
      const bytes = this.#cacheFailed ? undefined : await (await this.#cache)?.read?.(index);
      return bytes !== undefined && (await this.#isGood(index, bytes)) ? bytes : undefined;
    } catch {
      return undefined; // finished or abandoned in the meantime: a peer has it
    }
  }

  /** Nobody reads any more. A complete copy is finished while late readers may still join; an incomplete one is dropped with the fetch. */
  #leave(): void {
    this.#search.stop();
    if (this.#finishing === undefined) {
      const complete = this.#stored.size === this.count;
      this.#finishing = this.#close(complete);
      if (!complete) this.#onIdle();
    }
    void this.#finishing.then(() => {
      if (this.#readers === 0) this.#onIdle();
    });
  }

  async #close(complete: boolean): Promise<void> {
    const cache = await this.#cache;
    if (cache === undefined) return;
    await Promise.all(this.#stored.values());
    try {
      if (!complete || this.#cacheFailed) return await cache.abandon();
      await cache.finish(this.#list);
      this.#settings.onCached(this.#wanted.digest);
    } catch (error) {
      this.#settings.log.warn({ digest: this.#wanted.digest, error }, "the cached copy of a blob could not be finished: it is dropped");
    }
  }
}

/** A search that hands what it finds to `onFound`; for one blob. */
export function searchFor({ find, clock }: FetchSettings, digest: Digest, onFound: (peer: PeerId) => void): CopySearch {
  return new CopySearch({ find: (signal) => find(digest, signal), onFound, clock });
}

function* chunksOf(bytes: Uint8Array, start: number, end: number, signal: AbortSignal): Iterable<Uint8Array> {
  for (let offset = start; offset < end; offset += CHUNK_SIZE_BYTES) {
    signal.throwIfAborted();
    yield bytes.subarray(offset, Math.min(end, offset + CHUNK_SIZE_BYTES));
  }
}
