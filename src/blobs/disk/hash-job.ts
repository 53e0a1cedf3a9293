import type { Digest, DigestAlgorithm } from "../../core/digest.ts";
import { PIECE_SIZE_BYTES, type PieceHash, pieceRoot } from "../../core/pieces.ts";
import type { BlobFacts } from "../blob-store.ts";
import type { LaneCalls } from "./hash-lane.ts";

export interface JobLanes {
  /** Hashes the whole blob and, where it is new, writes it. */
  readonly whole: LaneCalls;
  /** Hashes its pieces; the same lane where there is but one. */
  readonly pieces: LaneCalls;
  /** A number for a job, used once. */
  number(): number;
}

/** One blob that is being hashed: digest, pieces and, where it is new, its writing. */
export class HashJob {
  readonly algorithm: DigestAlgorithm;
  /** Bytes handed over. */
  position = 0;
  /** Bytes written and hashed, answered by the thread: always a prefix. */
  done = 0;
  failure: Error | undefined;
  readonly #lanes: JobLanes;
  readonly #number: number;
  /** For sha256 the first piece is the whole hash's prefix, so a job for pieces begins behind it, if it is needed at all. */
  readonly #piecesFrom: number;
  readonly #inFlight = new Set<Promise<void>>();
  #piecesJob: number | undefined;
  /** Bytes handed to the job for pieces. */
  #piecesAt: number;

  constructor(lanes: JobLanes, algorithm: DigestAlgorithm) {
    this.#lanes = lanes;
    this.#number = lanes.number();
    this.algorithm = algorithm;
    this.#piecesFrom = algorithm === "sha256" ? PIECE_SIZE_BYTES : 0;
    this.#piecesAt = this.#piecesFrom;
    this.#track(lanes.whole.call({ type: "whole", job: this.#number, algorithm }), 0);
    if (this.#piecesFrom === 0) this.#startPieces();
  }

  #startPieces(): number {
    if (this.#piecesJob === undefined) {
      this.#piecesJob = this.#lanes.number();
      this.#track(this.#lanes.pieces.call({ type: "pieces", job: this.#piecesJob, position: this.#piecesFrom }), 0);
    }
    return this.#piecesJob;
  }

  get #isOneLane(): boolean {
    return this.#lanes.whole === this.#lanes.pieces;
  }

  /** Where one thread does both: the jobs that take bytes up to `end`. */
  #jobsUpTo(end: number): readonly number[] {
    if (!this.#isOneLane || end <= this.#piecesAt) return [this.#number];
    this.#piecesAt = end;
    return [this.#number, this.#startPieces()];
  }

  /** Where another thread hashes the pieces: it reads them from the file, once they are written. */
  #followPieces(fd: number, end: number): void {
    if (this.#isOneLane) return;
    while (this.failure === undefined && this.#piecesAt < end) {
      const start = this.#piecesAt;
      const stop = Math.min(end, start + PIECE_SIZE_BYTES - (start % PIECE_SIZE_BYTES));
      this.#piecesAt = stop;
      this.#track(this.#lanes.pieces.call({ type: "scan", jobs: [this.#startPieces()], fd, start, end: stop }), 0);
    }
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** Hands over bytes to be written and hashed, memory and all: each part is empty from now on. A failure shows at `idle`. */
  feed(parts: readonly Uint8Array<ArrayBuffer>[], length: number, fd: number): Promise<void> {
    const position = this.position;
    this.position += length;
    const jobs = this.#jobsUpTo(this.position);
    const work = this.#lanes.whole.call({ type: "feed", jobs, parts, position, fd });
    const wholePieces = this.position - (this.position % PIECE_SIZE_BYTES);
    return this.#track(
      work.then(() => this.#followPieces(fd, wholePieces)),
      length,
    );
  }

  #track(work: Promise<unknown>, length: number): Promise<void> {
    const tracked: Promise<void> = work
      .then(() => {
        if (this.failure === undefined) this.done += length;
      })
      .catch((error: Error) => {
        this.failure ??= error;
      })
      .finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
    return tracked;
  }

  /** Resolves when the oldest work in flight is done. */
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
      const jobs = this.#jobsUpTo(stop);
      this.#track(this.#lanes.whole.call({ type: "scan", jobs, fd, start, end: stop }), stop - start);
      this.#followPieces(fd, stop - (stop % PIECE_SIZE_BYTES));
      await this.idle();
    }
    if (this.failure !== undefined) throw this.failure;
  }

  /** What was hashed so far, of the file that was written or scanned; the job goes on. */
  async facts(fd: number): Promise<BlobFacts> {
    await this.idle();
    this.#followPieces(fd, this.position);
    await this.idle();
    if (this.failure !== undefined) throw this.failure;
    const { whole, pieces } = this.#lanes;
    const [[hex, first], rest] = await Promise.all([
      whole.call({ type: "facts", job: this.#number }),
      this.#piecesJob === undefined ? [] : pieces.call({ type: "facts", job: this.#piecesJob }),
    ]);
    const head = this.#piecesFrom === 0 ? [] : [first ?? hex];
    const list = [...head, ...rest] as PieceHash[];
    return { digest: `${this.algorithm}:${hex}` as Digest, sizeBytes: this.position, root: pieceRoot(list), pieces: list };
  }

  end(): void {
    const { whole, pieces } = this.#lanes;
    whole.call({ type: "end", job: this.#number }).catch(() => undefined); // a dead thread has forgotten it anyway
    if (this.#piecesJob !== undefined) pieces.call({ type: "end", job: this.#piecesJob }).catch(() => undefined);
  }
}
