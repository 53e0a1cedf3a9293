import type { OpenFile } from "./file-system.ts";

/** What is written before the disk is set to work on it. */
const EARLY_SYNC_BYTES = 32 * 1024 * 1024;

/** Of a whole process, whether an early sync runs: one at a time, for each holds one of the few threads that all reads share. */
export interface EarlySyncTurn {
  taken: boolean;
}

/**
 * Sends a large body to the disk while it still comes: left to the end, the fsync of 1 GiB takes as long as all that came before it. The caller's own fsync is
 * needed all the same, and must not be trusted where an early one failed: the kernel tells of lost pages once.
 */
export class EarlySync {
  failure: unknown;
  readonly #turn: EarlySyncTurn;
  readonly #file: OpenFile;
  #running: Promise<void> | undefined;
  #from: number;

  constructor(turn: EarlySyncTurn, file: OpenFile, start: number) {
    this.#turn = turn;
    this.#file = file;
    this.#from = start;
  }

  /** To be told, now and then, how far the file is written. */
  reached(position: number): void {
    if (position - this.#from < EARLY_SYNC_BYTES || this.#turn.taken || this.failure !== undefined) return;
    this.#from = position;
    this.#turn.taken = true;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    try {
      await this.#file.datasync();
    } catch (error) {
      this.failure = error;
    } finally {
      this.#turn.taken = false;
    }
  }

  /** Resolves once none runs: the file may be closed. */
  async idle(): Promise<void> {
    await this.#running;
  }
}
