import type { Database, DatabaseView, Operation, Range } from "../../../src/consensus/database.ts";
import type { Owner } from "../event-heap.ts";
import type { World } from "../world.ts";
import { type Batch, type Rows, type RunningWrite, type Volume, write } from "./volume.ts";

/** What the disk does to the databases on it. */
export interface DiskBehaviour {
  /** How long a batch takes. */
  latencyMs(sync: boolean): number;
  /** Undefined, or why this batch fails. */
  failure(sync: boolean): WriteFailure | undefined;
  readonly writeBufferBytes: number;
  /** Whether a file beside the log tells how far that was acknowledged. */
  readonly keepsWitness: boolean;
}

/** Whether what was written of a batch that failed may be there later; a full disk takes no more than a part. */
export type WriteFailure = "syncError" | "noSpace";

export interface SimDatabaseOptions {
  readonly world: World;
  /** The start of the process that has it open. */
  readonly owner: Owner;
  readonly volume: Volume;
  readonly rows: Map<string, Uint8Array>;
  readonly behaviour: DiskBehaviour;
  readonly written: (batch: Batch, sync: boolean) => void;
  /** A write has begun, and ends in so many ms. */
  readonly writing?: (batch: Batch, sync: boolean, durationMs: number) => void;
  /** A snapshot of it is taken. */
  readonly snapshot?: (rows: Rows) => void;
}

interface Pending {
  readonly batch: Batch;
  readonly sync: boolean;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

const NEVER: Promise<never> = new Promise(() => undefined);

/** `Database` on a simulated disk: one write at a time, in order; visible and durable when it says so, and not before. */
export class SimDatabase implements Database {
  readonly #options: SimDatabaseOptions;
  readonly #queue: Pending[] = [];
  readonly #view: SortedView;
  readonly #snapshots: SortedView[] = [];
  #brokenOff = false;
  #cancel: () => void = () => undefined;

  constructor(options: SimDatabaseOptions) {
    this.#options = options;
    this.#view = new SortedView(options.rows);
  }

  /** What is being written now. */
  get running(): RunningWrite | undefined {
    const first = this.#queue[0];
    return first === undefined ? undefined : { batch: first.batch, brokenOff: this.#brokenOff };
  }

  get volume(): Volume {
    return this.#options.volume;
  }

  get(key: string): Uint8Array | undefined {
    return this.#view.get(key);
  }

  scan(range: Range): AsyncIterable<readonly [string, Uint8Array]> {
    return this.#view.scan(range);
  }

  batch(operations: readonly Operation[], { sync }: { readonly sync: boolean }): Promise<void> {
    if (!this.#options.owner.alive) return NEVER;
    return new Promise<void>((done, failed) => {
      this.#queue.push({ batch: operations, sync, done, failed });
      if (this.#queue.length === 1) this.#begin();
    });
  }

  snapshot(): DatabaseView & { close(): Promise<void> } {
    const rows = new Map(this.#options.rows);
    this.#options.snapshot?.(rows);
    const view = new SortedView(rows);
    this.#snapshots.push(view);
    return { get: (key) => view.get(key), scan: (range) => view.scan(range), close: async () => view.close() };
  }

  /** As with LevelDB, what is still read from it fails. */
  async close(): Promise<void> {
    this.#view.close();
    for (const view of this.#snapshots) view.close();
  }

  #begin(): void {
    const next = this.#queue[0];
    if (next === undefined) return;
    const { world, owner, behaviour, writing } = this.#options;
    const latencyMs = behaviour.latencyMs(next.sync);
    writing?.(next.batch, next.sync, latencyMs);
    this.#cancel = world.after(latencyMs, "disk", owner, () => this.#end(next));
  }

  /** What made the running write slow has passed: it ends as if it had begun now. */
  hurry(): void {
    const next = this.#queue[0];
    if (next === undefined || this.#brokenOff) return;
    const { world, owner, behaviour } = this.#options;
    this.#cancel();
    this.#cancel = world.after(behaviour.latencyMs(next.sync), "disk", owner, () => this.#end(next));
  }

  #end({ batch, sync, done, failed }: Pending): void {
    const { volume, rows, behaviour, written } = this.#options;
    const failure = behaviour.failure(sync);
    if (failure === "syncError") {
      this.#queue.shift();
      volume.append(batch, false);
      failed(new Error("EIO: i/o error, fdatasync"));
    } else if (failure === "noSpace") {
      // It stays the running one: a crash keeps a part of it.
      this.#brokenOff = true;
      failed(new Error("ENOSPC: no space left on device, write"));
      return;
    } else {
      this.#queue.shift();
      write(rows, batch);
      this.#view.changed();
      volume.append(batch, sync);
      written(batch, sync);
      volume.flush(behaviour.writeBufferBytes);
      done();
    }
    this.#begin();
  }
}

/** Keys here have no characters beyond those of one UTF-16 unit, so the order of strings is that of their bytes. */
class SortedView implements DatabaseView {
  readonly #rows: Rows;
  #keys: readonly string[] | undefined;
  #closed = false;

  constructor(rows: Rows) {
    this.#rows = rows;
  }

  changed(): void {
    this.#keys = undefined;
  }

  close(): void {
    this.#closed = true;
  }

  get(key: string): Uint8Array | undefined {
    this.#check();
    return this.#rows.get(key);
  }

  async *scan({ prefix, after, limit }: Range): AsyncIterable<readonly [string, Uint8Array]> {
    this.#check();
    this.#keys ??= [...this.#rows.keys()].sort();
    const keys = this.#keys;
    let left = limit ?? Number.POSITIVE_INFINITY;
    for (let at = firstAt(keys, prefix + (after ?? ""), after !== undefined); at < keys.length && left > 0; at += 1) {
      const key = keys[at]!;
      if (!key.startsWith(prefix)) return;
      const value = this.#rows.get(key);
      if (value === undefined) continue;
      left -= 1;
      yield [key, value];
      this.#check();
    }
  }

  #check(): void {
    if (this.#closed) throw new Error("Database is not open");
  }
}

/** The place of the first key that is `bound` or greater, or only greater where `strict`. */
function firstAt(keys: readonly string[], bound: string, strict: boolean): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const key = keys[middle]!;
    if (key < bound || (strict && key === bound)) low = middle + 1;
    else high = middle;
  }
  return low;
}
