import { availableParallelism } from "node:os";
import { algorithmOf, type Digest, type DigestAlgorithm } from "../../core/digest.ts";
import type { PieceHash } from "../../core/pieces.ts";
import type { BlobFacts } from "../blob-store.ts";
import type { EarlySyncTurn } from "./early-sync.ts";
import { HashJob } from "./hash-job.ts";
import { LaneCalls, type StartLane, startThread } from "./hash-lane.ts";
import { SharedHash } from "./shared-hash.ts";

/** Bytes that go to a thread at once. */
export const BATCH_SIZE_BYTES = 256 * 1024;
/** Of the whole process, what may be gathered or on its way: 4 MiB. */
const BATCHES_MAX = 16;
/** One core is the main thread's, which receives 1 GiB in the time in which two threads hash it twice and write it: more would wait for it, at 10 MiB each. */
const THREADS_MAX = 2;

export interface HashPoolOptions {
  /** Threads at most; each is started when it first has work. */
  readonly threads?: number;
  readonly startLane?: StartLane;
}

/**
 * Hashes and writes off the main thread. Bytes travel in batches, whose memory goes with them; a turn, of which there are 16 in the whole process, is to be
 * had for each: that is the backpressure.
 */
export class HashPool {
  readonly earlySyncTurn: EarlySyncTurn = { taken: false };
  readonly #lanes: LaneCalls[];
  readonly #waiting: (() => void)[] = [];
  #turns = BATCHES_MAX;
  #jobs = 0;

  constructor(options: HashPoolOptions = {}) {
    const threads = options.threads ?? Math.min(THREADS_MAX, Math.max(1, availableParallelism() - 1));
    this.#lanes = Array.from({ length: threads }, () => new LaneCalls(options.startLane ?? startThread));
  }

  job(algorithm: DigestAlgorithm): HashJob {
    const [whole, pieces] = this.#pair();
    return new HashJob({ whole, pieces, number: () => this.#number() }, algorithm);
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
    const job = this.#number();
    const ready = lane.call({ type: "pieces", job, position: start });
    const scanned = lane.call({ type: "scan", jobs: [job], fd, start, end });
    const facts = lane.call({ type: "facts", job });
    const ended = lane.call({ type: "end", job });
    const settled = await Promise.allSettled([ready, scanned, facts, ended]);
    for (const result of settled) if (result.status === "rejected") throw result.reason;
    return (await facts)[0] as PieceHash;
  }

  /** A running SHA-256 of a piece in shared memory; undefined while the thread is still starting, which takes longer than to hash the piece. */
  sharedHash(): SharedHash | undefined {
    const [lane] = this.#pair();
    return lane.ready() ? new SharedHash(lane, this.#number()) : undefined;
  }

  #number(): number {
    this.#jobs += 1;
    return this.#jobs;
  }

  /** A turn, in order of asking, for one batch; undefined where one is free. `leave` gives it back. */
  enter(): Promise<void> | undefined {
    if (this.#turns > 0) {
      this.#turns -= 1;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#turns += 1;
    else next();
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}

/** @throws what the thread met, as a system error with its `code` */
export async function scanFile(pool: HashPool, fd: number, sizeBytes: number, digest: Digest, signal: AbortSignal): Promise<BlobFacts> {
  const job = pool.job(algorithmOf(digest));
  try {
    await job.scan(fd, sizeBytes, signal);
    return await job.facts(fd);
  } finally {
    job.end();
  }
}
