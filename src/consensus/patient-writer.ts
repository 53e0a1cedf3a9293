import type { Operation } from "./database.ts";

/** What becomes of a write that finds no room on the disk. */
export interface Room {
  /** Gives up what is kept in reserve. @returns whether there was any */
  make(): Promise<boolean>;
  /** Resolves when it is worth while to try again. @throws `reason` where nobody is to wait, or not any longer */
  wait(reason: Error): Promise<void>;
}

/** Fails at once, as where there is nothing that could free space. */
export const NO_ROOM: Room = {
  make: async () => false,
  wait: async (reason) => {
    throw reason;
  },
};

/** A database that may be left with a part of a batch. */
export interface PatientTarget {
  write(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void>;
  /** After a write without room: what follows must not stand behind the part of it that may be there. @throws as for want of room */
  renew(): Promise<void>;
}

/**
 * Writes batches one at a time. One that finds no room is not done, and nobody is told that it were: it is repeated, first on what was kept in reserve, then each time that
 * there may be room again. Those after it wait. Any other failure, as of an fsync, is the caller's, and nothing is repeated.
 */
export class PatientWriter {
  readonly #target: PatientTarget;
  readonly #room: Room;
  #turn: Promise<void> = Promise.resolve();

  constructor(target: PatientTarget, room: Room) {
    this.#target = target;
    this.#room = room;
  }

  write(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void> {
    const done = this.#turn.then(() => this.#insist(operations, options));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Resolves when what was begun has ended. */
  idle(): Promise<void> {
    return this.#turn;
  }

  async #insist(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void> {
    for (let torn = false; ; torn = true) {
      try {
        if (torn) await this.#target.renew();
        await this.#target.write(operations, options);
        return;
      } catch (error) {
        if (!isNoSpace(error)) throw error;
        if (!(await this.#room.make())) await this.#room.wait(error);
      }
    }
  }
}

/** As LevelDB says it, and as Node does. */
export function isNoSpace(error: unknown): error is Error {
  return error instanceof Error && /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/.test(error.message);
}
