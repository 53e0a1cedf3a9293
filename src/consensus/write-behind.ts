import type { Clock } from "../core/clock.ts";

export interface WriteBehindOptions {
  readonly clock: Clock;
  /** So long a change waits for others to share its batch. */
  readonly delayMs: number;
  /** Bytes of changes that may wait: from half of it on they are written at once, beyond it `room` waits. */
  readonly maxBytes: number;
  /** Writes `changes` as one batch, with what belongs to the state as of now. Called in turn, never twice at once. */
  readonly write: (changes: Changes, sync: boolean) => Promise<void>;
}

export type Changes = ReadonlyMap<string, Uint8Array | undefined>;

export const NOT_HERE = Symbol("not here");

const NONE: Changes = new Map();

/**
 * What has applied and is not in the database yet, as the newest batch left it: a row that changes again and again is written once. Reads look here
 * first. Nothing here has to outlive a crash of the process: the log is durable before anything applies, and is applied again.
 */
export class WriteBehind {
  readonly #options: WriteBehindOptions;
  #waiting = new Map<string, Uint8Array | undefined>();
  #writing: Changes = NONE;
  #bytes = 0;
  /** How many times something was added, and how many of these are in the database. */
  #added = 0;
  #written = 0;
  #running: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #failure: { readonly cause: unknown } | undefined;

  constructor(options: WriteBehindOptions) {
    this.#options = options;
  }

  /** Undefined for a row that was deleted; `NOT_HERE` where the database has to be asked. */
  get(key: string): Uint8Array | undefined | typeof NOT_HERE {
    const newest = this.#waiting.get(key);
    if (newest !== undefined || this.#waiting.has(key)) return newest;
    const value = this.#writing.get(key);
    return value !== undefined || this.#writing.has(key) ? value : NOT_HERE;
  }

  /** Resolves when more may be added. @throws what a write has failed with */
  async room(): Promise<void> {
    while (this.#bytes > this.#options.maxBytes || this.#failure !== undefined) await (this.#running ?? this.flush(false));
  }

  add(changes: Changes): void {
    for (const [key, value] of changes) {
      this.#waiting.set(key, value);
      this.#bytes += key.length + (value?.byteLength ?? 0);
    }
    this.#added += 1;
    this.#schedule();
  }

  /** Resolves when all that has been added by now is in the database. @throws what a write has failed with */
  async written(): Promise<void> {
    const wanted = this.#added;
    while (this.#written < wanted) await (this.#running ?? this.flush(false));
  }

  /** Writes all that is there, also where that is nothing. @throws what a write has failed with */
  async flush(sync: boolean): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    if (this.#failure !== undefined) throw this.#failure.cause;
    this.#running = this.#write(sync).finally(() => {
      this.#running = undefined;
      this.#schedule();
    });
    await this.#running;
  }

  #schedule(): void {
    if (this.#written === this.#added || this.#running !== undefined || this.#failure !== undefined) return;
    // Whoever writes has told `fatal`.
    if (this.#bytes * 2 > this.#options.maxBytes) void this.flush(false).catch(() => undefined);
    else this.#cancel ??= this.#options.clock.after(this.#options.delayMs, () => void this.flush(false).catch(() => undefined));
  }

  async #write(sync: boolean): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    const upTo = this.#added;
    this.#writing = this.#waiting;
    this.#waiting = new Map();
    this.#bytes = 0;
    try {
      await this.#options.write(this.#writing, sync);
    } catch (cause) {
      this.#failure = { cause };
      throw cause;
    }
    this.#writing = NONE;
    this.#written = upTo;
  }
}
