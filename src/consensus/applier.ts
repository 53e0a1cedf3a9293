import { type AppliedCommand, ApplyBatch } from "../metadata/apply-entry.ts";
import type { ConfState, Entry, StorageApplyReply } from "../raft/types.ts";
import { entrySize } from "../raft/types.ts";
import type { Fatal } from "./errors.ts";
import type { AppliedStore } from "./store.ts";

export interface ApplierOptions {
  readonly store: AppliedStore;
  readonly fatal: Fatal;
  readonly batchBytes: number;
  /** Takes effect in the core when its entry applies. */
  readonly applyConfChange: (data: Uint8Array | undefined, index: number) => ConfState;
  /** After a batch was written. */
  readonly applied: (batch: {
    readonly index: number;
    readonly keys: readonly string[];
    readonly commands: readonly AppliedCommand[];
    readonly confChanged: boolean;
    readonly replies: readonly StorageApplyReply[];
  }) => void;
}

interface Work {
  readonly entries: readonly Entry[];
  readonly replies: readonly StorageApplyReply[];
}

/** Applies committed entries in order, many in one batch where many wait: each sees what those before it wrote. */
export class Applier {
  readonly #options: ApplierOptions;
  #queue: Work[] = [];
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  enqueue(work: Work): void {
    if (this.#stopped) return;
    this.#queue.push(work);
    this.#running ??= this.#run();
  }

  /** Runs `task` between two batches: nothing is applied meanwhile. */
  async exclusive(task: () => Promise<void>): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    const running = task();
    this.#running = running.then(
      () => this.#next(),
      () => this.#next(),
    );
    await running;
  }

  /** Resolves when the batch that is being written is. What is queued stays undone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  #next(): void {
    this.#running = this.#queue.length > 0 && !this.#stopped ? this.#run() : undefined;
  }

  async #run(): Promise<void> {
    try {
      while (this.#queue.length > 0 && !this.#stopped) await this.#batch(this.#take());
    } catch (error) {
      this.#stopped = true;
      this.#options.fatal(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#running = undefined;
    }
  }

  #take(): Work[] {
    let sizeBytes = 0;
    let count = 0;
    for (const work of this.#queue) {
      for (const entry of work.entries) sizeBytes += entrySize(entry);
      if (count > 0 && sizeBytes > this.#options.batchBytes) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #batch(works: readonly Work[]): Promise<void> {
    const { store } = this.#options;
    const batch = new ApplyBatch(store);
    const done: { index: number; seal: Uint8Array | undefined }[] = [];
    const commands: AppliedCommand[] = [];
    let confState: ConfState | undefined;
    let term = store.appliedTerm;
    for (const work of works) {
      for (const entry of work.entries) {
        const changed = entry.type === "normal" ? undefined : this.#options.applyConfChange(entry.data, entry.index);
        // An installed snapshot overtook this entry: only the core has to be told.
        if (entry.index <= store.appliedIndex) continue;
        confState = changed ?? confState;
        term = entry.term;
        const holds = entry.type === "normal" && entry.data !== undefined;
        const applied = holds ? batch.apply(entry.index, entry.data) : undefined;
        if (applied !== undefined) commands.push(...applied.commands);
        done.push({ index: entry.index, seal: applied?.seal });
      }
    }
    const changes = batch.finish();
    await store.applyBatch({ entries: done, changes, term, confState });
    this.#options.applied({
      index: store.appliedIndex,
      keys: [...changes.keys()],
      commands,
      confChanged: confState !== undefined,
      replies: works.flatMap(({ replies }) => replies),
    });
  }
}
