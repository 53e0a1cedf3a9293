import type { BlobStore } from "../blobs/blob-store.ts";
import { CorruptBlobError, isBadCopy } from "../blobs/corrupt-blob.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import { ByteRate } from "./byte-rate.ts";

/** Where a scrub stands; kept over restarts. Times are wall times: they are this node's own affair. */
export interface ScrubPosition {
  /** When the one that runs, or the last one, began. */
  readonly beganAtMs: number;
  /** The last digest that was read; undefined once all are. */
  readonly after: string | undefined;
  /** When the last full one ended. */
  readonly endedAtMs: number | undefined;
}

export interface ScrubMemory {
  /** Undefined where none is known, or what is there is no position. */
  load(): Promise<ScrubPosition | undefined>;
  save(position: ScrubPosition): Promise<void>;
}

export interface ScrubOptions {
  readonly consensus: Consensus;
  readonly blobs: Pick<BlobStore, "list" | "stat" | "reread" | "quarantine" | "usage">;
  readonly self: RaftId;
  readonly memory: ScrubMemory;
  readonly clock: Clock;
  readonly log: Log;
  /** `durability.scrubEvery`: within so long every blob here is read again. */
  readonly everyMs: number;
  /** `durability.scrubRate`: bytes a second at most. */
  readonly bytesPerSecondMax: number;
  /** A copy here is gone, or was quarantined: its place in the record is given up, and it is healed from the others. */
  reportBad(digest: Digest): void;
  /** Files that no record names are swept once all was read. */
  sweep(): void;
}

export interface ScrubStatus {
  readonly running: boolean;
  /** Of the one that runs: how much of it is done, from 0 to 1. */
  readonly done: number;
  readonly endedAtMs: number | undefined;
  /** Bytes that were read since this node started, and copies that were bad. */
  readonly readBytes: number;
  readonly badCopies: number;
  /** `scrubRate` does not suffice to read all within `scrubEvery`. */
  readonly isLate: boolean;
}

const PAGE = 256;
/** The next one begins a little early: a blob is read at another moment of it each time. */
const MARGIN = 0.9;
/** So slow is no load at all, and what is small is done in one go. */
const BYTES_PER_SECOND_MIN = 1024 * 1024;
const RETRY_MS = 60_000;
/** Digests are hashes: how far one has come shows by the first characters. */
const SHARE_CHARACTERS = 8;

/**
 * Reads every blob on this node again within `scrubEvery`, piece by piece, one blob at a time, at the rate that this takes: copies of records and cached ones
 * (design.md, G6). A copy that is bad is quarantined, and struck from the record like one that is missing; then the others heal it.
 */
export class Scrub {
  readonly #options: ScrubOptions;
  readonly #rate: ByteRate;
  readonly #stopping = new AbortController();
  readonly #work: Promise<void>;
  #position: ScrubPosition | undefined;
  #readBytes = 0;
  #badCopies = 0;
  #cancelWait: (() => void) | undefined;

  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#rate = new ByteRate(options.clock);
    this.#work = this.#run();
  }

  /** Resolves when it has ended, after `stop`. */
  async idle(): Promise<void> {
    await this.#work;
  }

  stop(): void {
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
    this.#cancelWait?.();
  }

  status(): ScrubStatus {
    const { after, endedAtMs } = this.#position ?? {};
    const isLate = this.#bytesPerSecondInTime() > this.#options.bytesPerSecondMax;
    const counts = { endedAtMs, readBytes: this.#readBytes, badCopies: this.#badCopies, isLate };
    return { ...counts, running: after !== undefined, done: after === undefined ? 0 : shareOf(after) };
  }

  async #run(): Promise<void> {
    const { log, memory } = this.#options;
    const { signal } = this.#stopping;
    this.#position = await memory.load().catch(() => undefined);
    while (!signal.aborted) {
      try {
        await this.#untilDue();
        await this.#scrub();
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ error }, "the scrub was interrupted: it goes on in a minute where it was");
        await this.#wait(RETRY_MS);
      }
    }
  }

  async #untilDue(): Promise<void> {
    const { clock, everyMs } = this.#options;
    if (this.#position?.after !== undefined) return; // one was under way when the node stopped
    const beganAtMs = this.#position?.beganAtMs;
    const sinceMs = beganAtMs === undefined ? Number.POSITIVE_INFINITY : clock.wallMs() - beganAtMs;
    // a clock that was put back says nothing: it is as if one had just begun
    await this.#wait(everyMs * MARGIN - Math.max(0, sinceMs));
  }

  async #wait(delayMs: number): Promise<void> {
    if (delayMs <= 0 || this.#stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(delayMs, resolve);
      this.#cancelWait = () => {
        cancel();
        resolve();
      };
    });
    this.#cancelWait = undefined;
  }

  /** From where it stands to the end. */
  async #scrub(): Promise<void> {
    const { blobs, clock, consensus, self, log } = this.#options;
    const { signal } = this.#stopping;
    const beganAtMs = this.#position?.after === undefined ? clock.wallMs() : this.#position.beganAtMs;
    for (let after: string | undefined = this.#position?.after ?? ""; after !== undefined; ) {
      signal.throwIfAborted();
      await this.#stand({ beganAtMs, after, endedAtMs: this.#position?.endedAtMs });
      const files = await blobs.list(after, PAGE);
      const listed = await consensus.catalog.heldBy(self, after, PAGE);
      // as far as both were listed: a copy may lack its file, and a file may be a cached copy
      const [end] = [files, listed].flatMap((page) => (page.length < PAGE ? [] : (page.at(-1) ?? []))).sort();
      const digests = [...new Set([...files, ...listed])].filter((digest) => end === undefined || digest <= end).sort();
      for (const digest of digests) {
        signal.throwIfAborted();
        await this.#read(digest);
      }
      after = end;
    }
    await this.#stand({ beganAtMs, after: undefined, endedAtMs: clock.wallMs() });
    log.info({ badCopies: this.#badCopies }, "every blob on this node was read again");
    this.#options.sweep();
  }

  async #stand(position: ScrubPosition): Promise<void> {
    const { log, memory } = this.#options;
    this.#position = position;
    await memory.save(position).catch((error: unknown) => {
      log.warn({ error }, "where the scrub stands could not be written down: after a restart it begins where it was before");
    });
  }

  async #read(digest: Digest): Promise<void> {
    const { blobs, consensus, log, self } = this.#options;
    const { signal } = this.#stopping;
    const pace = async (sizeBytes: number): Promise<void> => {
      this.#readBytes += sizeBytes;
      this.#rate.spend(sizeBytes, this.#bytesPerSecond());
      await this.#rate.turn(signal);
    };
    try {
      const { root } = await blobs.reread(digest, pace, signal);
      const record = consensus.catalog.blob(digest);
      if (record?.root === undefined || record.root === root) return;
      throw new CorruptBlobError(digest, undefined, `its piece root is ${root}, and the record says ${record.root}`);
    } catch (error) {
      if (signal.aborted) throw error;
      const absent = error instanceof OciError && error.code === "BLOB_UNKNOWN";
      if (!absent && !isBadCopy(error)) throw error;
      if (absent && consensus.catalog.blob(digest)?.copies.includes(self) !== true) return; // dropped meanwhile
      this.#badCopies += 1;
      log.error({ digest, error }, "a copy on this node is bad or missing: it is healed from the others");
      if (!absent) await blobs.quarantine(digest, String(error));
      this.#options.reportBad(digest);
    }
  }

  /** What the whole takes to be read in time, and no more than is allowed. */
  #bytesPerSecond(): number {
    return Math.min(this.#options.bytesPerSecondMax, Math.max(BYTES_PER_SECOND_MIN, this.#bytesPerSecondInTime()));
  }

  #bytesPerSecondInTime(): number {
    const { blobs, everyMs } = this.#options;
    return blobs.usage().sizeBytes / ((everyMs * MARGIN * MARGIN) / 1_000);
  }
}

/** How far into all digests one lies, those with sha512 behind those with sha256, which are rare. */
function shareOf(after: string): number {
  const [algorithm, hex = ""] = after.split(":");
  if (algorithm === "sha512") return 1;
  return Number.parseInt(hex.slice(0, SHARE_CHARACTERS).padEnd(SHARE_CHARACTERS, "0"), 16) / 16 ** SHARE_CHARACTERS;
}
