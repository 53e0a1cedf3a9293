import { type Clock, pause } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Room } from "../patient-writer.ts";
import type { SpaceReserve } from "./space-reserve.ts";

/** How long, and on whose behalf, writes wait for room. */
export interface Patience {
  readonly clock: Clock;
  readonly log: Log;
  /** The node stops: nobody waits any more. */
  readonly signal: AbortSignal;
}

const RETRY_MS = 1_000;
/** A database begins another log by writing a table, and where it must be opened again, two. */
const NEEDED_BYTES = 12 * 2 ** 20;

/** Room on the disk of log and catalog: from the reserve, or by waiting until somebody has freed some. */
export class DiskRoom implements Room {
  readonly #reserve: SpaceReserve;
  readonly #patience: Patience | undefined;
  #waiting = 0;

  constructor(reserve: SpaceReserve, patience: Patience | undefined) {
    this.#reserve = reserve;
    this.#patience = patience;
  }

  make(): Promise<boolean> {
    return this.#reserve.release();
  }

  async wait(reason: Error): Promise<void> {
    if (this.#patience === undefined) throw reason;
    const { clock, log, signal } = this.#patience;
    if (this.#waiting === 0) {
      log.error(
        { reason: reason.message },
        "the disk is full: this node acknowledges nothing until space is freed; what waits is written then",
      );
    }
    this.#waiting += 1;
    try {
      do await pause(clock, RETRY_MS, signal);
      while ((await this.#reserve.freeBytes()) < NEEDED_BYTES);
    } catch (error) {
      throw signal.aborted ? reason : error;
    } finally {
      this.#waiting -= 1;
    }
  }
}
