import type { Clock } from "../../core/clock.ts";
import { discard } from "../../core/spent-bytes.ts";
import { abortable } from "../abortable.ts";
import type { DiskReserve } from "./disk-reserve.ts";
import type { HashJob, HashPool, Slot } from "./hash-pool.ts";

/** A slot is handed over half full when its source has brought nothing for this long: slow clients must not hold the slots of fast ones. */
const LINGER_MS = 5;
/** Of one body, so that a fast one does not take all slots. */
const IN_FLIGHT_MAX = 12;

export interface Fed {
  /** Bytes that came from the source, also those past the limit. */
  readonly came: number;
  /** What ended the source before its end: its own error, the abort or a disk without room. */
  readonly failure: unknown;
}

export interface FeedDoor {
  readonly worker: HashPool;
  readonly clock: Clock;
  readonly reserve: DiskReserve;
}

/**
 * Copies a body into slots and hands them to the job, with backpressure, until the source ends, throws, brings more than `limit` bytes, the
 * signal aborts, the disk's reserve is reached or the job fails. All that was handed over is done (or failed) on return. Never throws.
 */
export async function feedBody(
  door: FeedDoor,
  job: HashJob,
  fd: number,
  source: AsyncIterable<Uint8Array>,
  limit: number,
  signal: AbortSignal,
): Promise<Fed> {
  const feeder = new Feeder(door.worker, job, fd, door.clock);
  let came = 0;
  let failure: unknown;
  try {
    for await (const chunk of abortable(source, signal)) {
      const room = Math.max(0, limit - came);
      came += chunk.byteLength;
      const claimed = door.reserve.claim(chunk.byteLength);
      if (claimed !== undefined) await claimed;
      await feeder.take(chunk.byteLength <= room ? chunk : chunk.subarray(0, room));
      discard(chunk); // copied
      if (came > limit || job.failure !== undefined) break;
    }
  } catch (error) {
    failure = error;
  }
  feeder.flush();
  await job.idle();
  return { came, failure };
}

class Feeder {
  readonly #pool: HashPool;
  readonly #job: HashJob;
  readonly #fd: number;
  readonly #clock: Clock;
  #slot: Slot | undefined;
  #filled = 0;
  #cancelLinger: (() => void) | undefined;

  constructor(pool: HashPool, job: HashJob, fd: number, clock: Clock) {
    this.#pool = pool;
    this.#job = job;
    this.#fd = fd;
    this.#clock = clock;
  }

  async take(bytes: Uint8Array): Promise<void> {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength); // its copy is twice as fast as `set` where memory is shared
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    for (let taken = 0; taken < chunk.byteLength; ) {
      if (this.#slot === undefined) {
        while (this.#job.inFlight >= IN_FLIGHT_MAX) await this.#job.oldest();
        this.#slot = await this.#pool.slot();
      }
      const part = chunk.subarray(taken, taken + this.#job.room - this.#filled);
      part.copy(this.#slot.bytes, this.#filled);
      this.#filled += part.byteLength;
      taken += part.byteLength;
      if (this.#filled === this.#job.room) this.flush();
    }
    if (this.#filled > 0) this.#cancelLinger = this.#clock.after(LINGER_MS, () => this.flush());
  }

  flush(): void {
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    if (this.#slot === undefined) return;
    const slot = this.#slot;
    this.#slot = undefined;
    const filled = this.#filled;
    this.#filled = 0;
    if (filled === 0 || this.#job.failure !== undefined) this.#pool.release(slot);
    else this.#job.feed(slot, filled, this.#fd);
  }
}
