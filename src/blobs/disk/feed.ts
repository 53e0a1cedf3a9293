import type { Clock } from "../../core/clock.ts";
import { takeOver } from "../../core/spent-bytes.ts";
import { abortable } from "../abortable.ts";
import type { DiskReserve } from "./disk-reserve.ts";
import { EarlySync } from "./early-sync.ts";
import type { OpenFile } from "./file-system.ts";
import type { HashJob } from "./hash-job.ts";
import { BATCH_SIZE_BYTES, type HashPool } from "./hash-pool.ts";

/** A batch is handed over, full or not, so long after it began: slow clients must not hold the turns of fast ones. */
const LINGER_MS = 5;
/** Of one body, so that a fast one does not take all turns. */
const IN_FLIGHT_MAX = 8;

export interface Fed {
  /** Bytes that came from the source, also those past the limit. */
  readonly came: number;
  /** What ended the source before its end: its own error, the abort or a disk without room. */
  readonly failure: unknown;
  /** What an fsync on the way met: nothing of the body is durable then, whatever a later one says. */
  readonly syncFailure: unknown;
}

export interface FeedDoor {
  readonly worker: HashPool;
  readonly clock: Clock;
  readonly reserve: DiskReserve;
}

/**
 * Gathers a body into batches and hands them to the job, with backpressure, until the source ends, throws, brings more than `limit` bytes, the
 * signal aborts, the disk's reserve is reached, or the job or an fsync fails. All that was handed over is done (or failed) on return. Never throws.
 */
export async function feedBody(
  door: FeedDoor,
  job: HashJob,
  file: OpenFile,
  source: AsyncIterable<Uint8Array>,
  limit: number,
  signal: AbortSignal,
): Promise<Fed> {
  const feeder = new Feeder(door.worker, job, file.fd, door.clock);
  const early = new EarlySync(door.worker.earlySyncTurn, file, job.done);
  let came = 0;
  let failure: unknown;
  try {
    for await (const chunk of abortable(source, signal)) {
      const room = Math.max(0, limit - came);
      came += chunk.byteLength;
      const claimed = door.reserve.claim(chunk.byteLength);
      if (claimed !== undefined) await claimed;
      const taken = feeder.take(chunk.byteLength <= room ? chunk : chunk.subarray(0, room));
      if (taken !== undefined) await taken;
      early.reached(job.done);
      if (came > limit || job.failure !== undefined || early.failure !== undefined) break;
    }
  } catch (error) {
    failure = error;
  }
  feeder.flush();
  await job.idle();
  await early.idle();
  return { came, failure, syncFailure: early.failure };
}

/** Gathers chunks into batches: those that were handed over by their memory, the others as copies. */
class Feeder {
  readonly #pool: HashPool;
  readonly #job: HashJob;
  readonly #fd: number;
  readonly #clock: Clock;
  #parts: Uint8Array<ArrayBuffer>[] = [];
  #sizeBytes = 0;
  /** Whether a turn is held: from the first byte of a batch until it is done. */
  #holdsTurn = false;
  #copies: Uint8Array<ArrayBuffer> | undefined;
  #copiedBytes = 0;
  #cancelLinger: (() => void) | undefined;

  constructor(pool: HashPool, job: HashJob, fd: number, clock: Clock) {
    this.#pool = pool;
    this.#job = job;
    this.#fd = fd;
    this.#clock = clock;
  }

  /** Undefined where the chunk was taken without waiting for a turn, as most are. */
  take(chunk: Uint8Array): Promise<void> | undefined {
    const owned = takeOver(chunk);
    if (owned === undefined) return this.#takeCopy(chunk);
    if (!this.#holdsTurn) return this.#begin().then(() => this.#add(owned));
    this.#add(owned);
    return undefined;
  }

  async #takeCopy(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.byteLength; ) {
      if (!this.#holdsTurn) await this.#begin();
      const part = this.#copy(chunk.subarray(taken, taken + BATCH_SIZE_BYTES - this.#sizeBytes));
      taken += part.byteLength;
      this.#add(part);
    }
  }

  /** Waits for a turn, which the batch holds until it is done. */
  async #begin(): Promise<void> {
    while (this.#job.inFlight >= IN_FLIGHT_MAX) await this.#job.oldest();
    const turn = this.#pool.enter();
    if (turn !== undefined) await turn;
    this.#holdsTurn = true;
    this.#cancelLinger = this.#clock.after(LINGER_MS, () => this.flush());
  }

  #add(part: Uint8Array<ArrayBuffer>): void {
    this.#parts.push(part);
    this.#sizeBytes += part.byteLength;
    if (this.#sizeBytes >= BATCH_SIZE_BYTES) this.flush();
  }

  #copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#copies ??= new Uint8Array(Buffer.allocUnsafeSlow(BATCH_SIZE_BYTES).buffer);
    const copy = this.#copies.subarray(this.#copiedBytes, this.#copiedBytes + bytes.byteLength);
    copy.set(bytes);
    this.#copiedBytes += bytes.byteLength;
    return copy;
  }

  flush(): void {
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    if (!this.#holdsTurn) return;
    const parts = this.#parts;
    const sizeBytes = this.#sizeBytes;
    this.#parts = [];
    this.#sizeBytes = 0;
    this.#copies = undefined;
    this.#copiedBytes = 0;
    this.#holdsTurn = false;
    const leave = (): void => this.#pool.leave();
    if (sizeBytes === 0 || this.#job.failure !== undefined) leave();
    else void this.#job.feed(parts, sizeBytes, this.#fd).then(leave); // never rejects: a failure is the job's
  }
}
