import type { BlobStore } from "../blobs/blob-store.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import { untilSynced } from "./synced.ts";

export interface SweepOptions {
  readonly consensus: Consensus;
  readonly blobs: Pick<BlobStore, "list" | "pins" | "drop">;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Sweeping {
  /** Sweeps once more. */
  wake(): void;
  /** Resolves when no sweep runs. */
  idle(): Promise<void>;
  stop(): void;
}

const PAGE = 256;
/** A node that is cut off, or has no catalog yet, may be about to be told of records. */
const RETRY_MS = 10_000;
/** A file whose pin stood is looked at again when most pins have ended. */
const PINNED_RETRY_MS = 10 * 60_000;

/**
 * Unlinks files with neither live record nor pin: at the start, and after a snapshot was installed, whose deletions nobody heard (design.md, "Pins"). Only
 * after a fresh barrier, and against synced state: a catalog that is behind does not know yet what its files are for.
 */
export function startSweeping(options: SweepOptions): Sweeping {
  return new Sweeper(options);
}

class Sweeper implements Sweeping {
  readonly #options: SweepOptions;
  readonly #stopping = new AbortController();
  readonly #stopListening: () => void;
  #running: Promise<void> | undefined;
  #again = false;
  #cancelLater: (() => void) | undefined;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.#stopListening = options.consensus.onInstalled(() => this.wake());
    this.wake();
  }

  wake(): void {
    if (this.#stopping.signal.aborted) return;
    this.#again = true;
    this.#running ??= this.#sweeps().finally(() => {
      this.#running = undefined;
    });
  }

  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  stop(): void {
    this.#stopListening();
    this.#cancelLater?.();
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
  }

  async #sweeps(): Promise<void> {
    while (this.#again && !this.#stopping.signal.aborted) {
      this.#again = false;
      try {
        const delayMs = await this.#sweep();
        if (delayMs !== undefined) this.#later(delayMs);
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        this.#options.log.debug({ error }, "files without a record could not be swept yet: it is tried again");
        this.#later(RETRY_MS);
      }
    }
  }

  #later(delayMs: number): void {
    this.#cancelLater?.();
    this.#cancelLater = this.#options.clock.after(delayMs, () => this.wake());
  }

  /** @returns when to look again; undefined where all was seen */
  async #sweep(): Promise<number | undefined> {
    const { blobs, consensus, log } = this.#options;
    const { signal } = this.#stopping;
    if ((await consensus.barrier(signal)) !== "fresh" || consensus.catalog.member(consensus.self) === undefined) return RETRY_MS;
    let swept = 0;
    let isPinned = false;
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page: readonly Digest[] = await blobs.list(after, PAGE);
      after = page.length < PAGE ? undefined : page.at(-1);
      const stray = page.filter((digest) => !this.#isLive(digest));
      if (stray.length > 0) await untilSynced(consensus, consensus.status().appliedIndex, signal);
      for (const digest of stray) {
        signal.throwIfAborted();
        if (await blobs.drop(digest, () => !this.#isLive(digest) && !this.#isPinned(digest))) swept += 1;
        else isPinned ||= this.#isPinned(digest);
      }
    }
    if (swept > 0) log.info({ files: swept }, "blobs that no record names any more were removed from this node");
    return isPinned ? PINNED_RETRY_MS : undefined;
  }

  /** Of a live record: this node's copy, or one that it has cached. */
  #isLive(digest: Digest): boolean {
    return this.#options.consensus.catalog.blob(digest)?.state === "live";
  }

  #isPinned(digest: Digest): boolean {
    return this.#options.blobs.pins().some((pin) => pin.digest === digest);
  }
}
