import { availableParallelism } from "node:os";
import { algorithmOf, type Digest, type DigestAlgorithm } from "../../core/digest.ts";
import { PIECE_SIZE_BYTES, type PieceHash, pieceRoot } from "../../core/pieces.ts";
import type { BlobFacts } from "../blob-store.ts";
import { LaneCalls, type StartLane, startThread } from "./hash-lane.ts";

export const SLOT_SIZE_BYTES = 256 * 1024;
const SLOTS_MAX = 24;
const THREADS_MAX = 4;

export interface HashPoolOptions {
  /** Threads at most; each is started when it first has work. */
  readonly threads?: number;
  readonly startLane?: StartLane;
}

export interface Slot {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/**
 * Hashes and writes off the main thread. Bytes travel in shared slots (24 of 256 KiB: what may be in flight in the whole process), so
 * that two threads can read the same ones; a slot that is not free is the backpressure.
 */
export class HashPool {
  readonly #lanes: LaneCalls[];
  readonly #buffers = new Map<number, SharedArrayBuffer>();
  readonly #free: Slot[] = [];
  readonly #waiting: ((slot: Slot) => void)[] = [];
  #jobs = 0;

  constructor(options: HashPoolOptions = {}) {
    const threads = options.threads ?? Math.min(THREADS_MAX, Math.max(1, availableParallelism()));
    this.#lanes = Array.from({ length: threads }, () => new LaneCalls(options.startLane ?? startThread, this.#buffers));
  }

  job(algorithm: DigestAlgorithm): HashJob {
    const [whole, pieces] = this.#pair();
    return new HashJob(this, whole, pieces, algorithm, this.number());
  }

  /** The least busy lane, and its neighbour. With one thread they are the same. */
  #pair(): [LaneCalls, LaneCalls] {
    let best = 0;
    for (let lane = 1; lane < this.#lanes.length; lane += 1) if (this.#lanes[lane]!.load < this.#lanes[best]!.load) best = lane;
    return [this.#lanes[best]!, this.#lanes[(best + 1) % this.#lanes.length]!];
  }

  /** SHA-256 of bytes `[start, end)` of one piece of a file. */
  async hashPiece(fd: number, start: number, end: number): Promise<PieceHash> {
    const [lane] = this.#pair();
    const job = this.number();
    const ready = lane.call({ type: "pieces", job, position: start });
    const scanned = lane.call({ type: "scan", job, fd, start, end });
    const facts = lane.call({ type: "facts", job });
    const ended = lane.call({ type: "end", job });
    const settled = await Promise.allSettled([ready, scanned, facts, ended]);
    for (const result of settled) if (result.status === "rejected") throw result.reason;
    return (await facts)[0] as PieceHash;
  }

  number(): number {
    this.#jobs += 1;
    return this.#jobs;
  }

  /** In order of asking; the caller gives it back by `release`. */
  async slot(): Promise<Slot> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#buffers.size < SLOTS_MAX) {
      const number = this.#buffers.size + 1;
      const buffer = new SharedArrayBuffer(SLOT_SIZE_BYTES);
      this.#buffers.set(number, buffer);
      return { number, bytes: new Uint8Array(buffer) };
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(slot: Slot): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}

/** One blob that is being hashed: digest, pieces and, where it is new, its writing, in one pass over the bytes. */
export class HashJob {
  readonly algorithm: DigestAlgorithm;
  /** Bytes handed over. */
  position = 0;
  /** Bytes written and hashed, answered by the thread: always a prefix. */
  done = 0;
  failure: Error | undefined;
  readonly #pool: HashPool;
  readonly #whole: LaneCalls;
  readonly #pieces: LaneCalls;
  readonly #number: number;
  /** For sha256 the first piece is the whole hash's prefix, so a job for pieces begins behind it, if it is needed at all. */
  readonly #piecesFrom: number;
  readonly #inFlight = new Set<Promise<void>>();
  #piecesJob: number | undefined;

  constructor(pool: HashPool, whole: LaneCalls, pieces: LaneCalls, algorithm: DigestAlgorithm, number: number) {
    this.#pool = pool;
    this.#whole = whole;
    this.#pieces = pieces;
    this.algorithm = algorithm;
    this.#number = number;
    this.#piecesFrom = algorithm === "sha256" ? PIECE_SIZE_BYTES : 0;
    this.#track(whole.call({ type: "whole", job: number, algorithm }), 0);
    if (this.#piecesFrom === 0) this.#startPieces();
  }

  #startPieces(): number {
    if (this.#piecesJob === undefined) {
      this.#piecesJob = this.#pool.number();
      this.#track(this.#pieces.call({ type: "pieces", job: this.#piecesJob, position: this.#piecesFrom }), 0);
    }
    return this.#piecesJob;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** How much the next chunk may hold: no chunk spans two pieces. */
  get room(): number {
    return Math.min(SLOT_SIZE_BYTES, PIECE_SIZE_BYTES - (this.position % PIECE_SIZE_BYTES));
  }

  /** Hands over the first `length` bytes of a slot, which is released when they are done. A failure shows at `idle`. */
  feed(slot: Slot, length: number, fd: number): void {
    const position = this.position;
    this.position += length;
    const chunk = { type: "feed", slot: slot.number, length, position } as const;
    const work = [this.#whole.call({ ...chunk, job: this.#number, fd })];
    if (position >= this.#piecesFrom) work.push(this.#pieces.call({ ...chunk, job: this.#startPieces(), fd: undefined }));
    const both = Promise.allSettled(work).then((results) => {
      this.#pool.release(slot); // not before both threads have left it
      for (const result of results) if (result.status === "rejected") throw result.reason;
    });
    this.#track(both, length);
  }

  #track(work: Promise<unknown>, length: number): void {
    const tracked: Promise<void> = work
      .then(() => {
        if (this.failure === undefined) this.done += length;
      })
      .catch((error: Error) => {
        this.failure ??= error;
      })
      .finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
  }

  /** Resolves when the oldest chunk in flight is done. */
  async oldest(): Promise<void> {
    for (const work of this.#inFlight) return work;
  }

  /** Waits for all that is in flight; `failure` tells how it went. */
  async idle(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
  }

  /** Hashes what a file holds up to `end`, a piece at a time, so that other jobs have their turns. */
  async scan(fd: number, end: number, signal: AbortSignal): Promise<void> {
    await this.idle();
    while (this.position < end && this.failure === undefined) {
      signal.throwIfAborted();
      const start = this.position;
      const stop = Math.min(end, start + PIECE_SIZE_BYTES - (start % PIECE_SIZE_BYTES));
      this.position = stop;
      this.#track(this.#whole.call({ type: "scan", job: this.#number, fd, start, end: stop }), stop - start);
      if (start >= this.#piecesFrom) this.#track(this.#pieces.call({ type: "scan", job: this.#startPieces(), fd, start, end: stop }), 0);
      await this.idle();
    }
    if (this.failure !== undefined) throw this.failure;
  }

  /** What was hashed so far; the job goes on. */
  async facts(): Promise<BlobFacts> {
    await this.idle();
    if (this.failure !== undefined) throw this.failure;
    const [[hex, first], rest] = await Promise.all([
      this.#whole.call({ type: "facts", job: this.#number }),
      this.#piecesJob === undefined ? [] : this.#pieces.call({ type: "facts", job: this.#piecesJob }),
    ]);
    const head = this.#piecesFrom === 0 ? [] : [first ?? hex];
    const pieces = [...head, ...rest] as PieceHash[];
    return { digest: `${this.algorithm}:${hex}` as Digest, sizeBytes: this.position, root: pieceRoot(pieces), pieces };
  }

  end(): void {
    this.#whole.call({ type: "end", job: this.#number }).catch(() => undefined); // a dead thread has forgotten it anyway
    if (this.#piecesJob !== undefined) this.#pieces.call({ type: "end", job: this.#piecesJob }).catch(() => undefined);
  }
}

/** @throws what the thread met, as a system error with its `code` */
export async function scanFile(pool: HashPool, fd: number, sizeBytes: number, digest: Digest, signal: AbortSignal): Promise<BlobFacts> {
  const job = pool.job(algorithmOf(digest));
  try {
    await job.scan(fd, sizeBytes, signal);
    return await job.facts();
  } finally {
    job.end();
  }
}
