import type { BlobStore } from "../blobs/blob-store.ts";
import type { Applied, Consensus } from "../consensus/consensus.ts";
import { type Clock, pause } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { BlobRecord } from "../metadata/records.ts";
import { untilSynced } from "./synced.ts";

export interface DisposeOptions {
  readonly consensus: Consensus;
  readonly blobs: Pick<BlobStore, "drop" | "stat">;
  readonly clock: Clock;
  readonly log: Log;
  /** `gc.rate`: bytes a second that this node unlinks at most. */
  readonly rateBytes: number;
  readonly periodMs?: number;
}

export interface Disposing {
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
  stop(): void;
}

const PERIOD_MS = 30_000;
/** After a proposal that failed. */
const RETRY_MS = 1_000;
const PAGE = 256;
const AT_ONCE = 16;
const REST_MS = 10;

/**
 * Unlinks on this node what was condemned, and says so to the cluster (`gc.deleted`). Each file is looked at again under its lock: only what is condemned still, by
 * the same entry, in a state that is on stable storage, goes (G5). While the collector is held nothing does.
 */
export function startDisposing(options: DisposeOptions): Disposing {
  return new Disposer(options);
}

class Disposer implements Disposing {
  readonly #options: DisposeOptions;
  readonly #stopping = new AbortController();
  readonly #stops: readonly (() => void)[];
  #running: Promise<void> | undefined;
  #again = false;
  #cancelRetry: (() => void) | undefined;
  #owedMs = 0;

  constructor(options: DisposeOptions) {
    this.#options = options;
    const { consensus, clock } = options;
    this.#stops = [
      consensus.onApplied((applied) => this.#hear(applied)),
      consensus.onInstalled(() => this.#wake()),
      clock.every(options.periodMs ?? PERIOD_MS, () => this.#wake()),
    ];
    this.#wake();
  }

  stop(): void {
    for (const stop of this.#stops) stop();
    this.#cancelRetry?.();
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
  }

  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  #hear({ command, outcome }: Applied): void {
    if (outcome.refused !== undefined) return;
    if (command.type === "gc.condemn" || (command.type === "gc.hold" && !command.held)) this.#wake();
  }

  #wake(): void {
    if (this.#stopping.signal.aborted) return;
    this.#again = true;
    this.#running ??= this.#passes().finally(() => {
      this.#running = undefined;
    });
  }

  async #passes(): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#stopping;
    await Promise.resolve(); // the listeners of the entry that woke it come first
    while (this.#again && !signal.aborted) {
      this.#again = false;
      try {
        await this.#pass();
      } catch (error) {
        if (signal.aborted) return;
        log.debug({ error }, "condemned blobs could not be removed from this node yet: it is tried again");
        this.#again = false; // an election, say
        this.#cancelRetry = this.#options.clock.after(RETRY_MS, () => this.#wake());
      }
    }
  }

  async #pass(): Promise<void> {
    const { consensus } = this.#options;
    const { signal } = this.#stopping;
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page: { readonly found: readonly Digest[]; readonly next: string | undefined } = await consensus.catalog
        .garbage()
        .condemned(after, PAGE);
      after = page.next;
      const open = page.found.filter((digest) => this.#condemned(digest)?.acknowledged.includes(consensus.self) === false);
      if (open.length === 0) continue;
      await untilSynced(consensus, consensus.status().appliedIndex, signal);
      while (open.length > 0) {
        signal.throwIfAborted();
        const sizes = await Promise.all(open.splice(0, AT_ONCE).map((digest) => this.#dispose(digest)));
        await this.#rest(sizes.reduce((sum, size) => sum + size, 0));
      }
    }
  }

  /** Keeps to the rate: what is owed is waited for once it is worth a timer. */
  async #rest(sizeBytes: number): Promise<void> {
    const { clock, rateBytes } = this.#options;
    this.#owedMs += (sizeBytes / rateBytes) * 1_000;
    if (this.#owedMs < REST_MS) return;
    const owedMs = this.#owedMs;
    this.#owedMs = 0;
    await pause(clock, owedMs, this.#stopping.signal);
  }

  /** Undefined where it is not condemned, or nothing is to go at the moment. */
  #condemned(digest: Digest): BlobRecord | undefined {
    const { catalog } = this.#options.consensus;
    const record = catalog.blob(digest);
    return record?.state === "condemned" && catalog.collector().held === undefined ? record : undefined;
  }

  /** @returns how many bytes have gone */
  async #dispose(digest: Digest): Promise<number> {
    const { blobs, consensus } = this.#options;
    const record = this.#condemned(digest);
    if (record === undefined) return 0;
    const { condemnedAt, sizeBytes } = record;
    const isGone = await blobs.drop(digest, () => this.#condemned(digest)?.condemnedAt === condemnedAt);
    // One that was pushed again while this waited for its lock has stayed; a pin of such a push is no settled file.
    if (!isGone && (await blobs.stat(digest))?.settled === true) return 0;
    await consensus.propose({ type: "gc.deleted", digest, copy: consensus.self, condemnedAt }, { signal: this.#stopping.signal });
    return isGone ? sizeBytes : 0;
  }
}
