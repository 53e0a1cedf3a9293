import type { BlobStore, Pin } from "../blobs/blob-store.ts";
import type { Applied, Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Refusal } from "../metadata/commands.ts";
import type { CatalogTime } from "../metadata/records.ts";
import { deadlineOf } from "./commit-id.ts";

export interface SettleOptions {
  readonly consensus: Consensus;
  readonly blobs: Pick<BlobStore, "pins" | "settle" | "drop">;
  readonly self: RaftId;
  readonly clock: Clock;
  readonly log: Log;
  /** How often pins are compared with catalog time. */
  readonly periodMs?: number;
  /** For a pin whose id names no deadline: how long after it was first seen it may go. */
  readonly unknownDeadlineMs?: number;
}

export interface Settling {
  /** Compares the pins with catalog time now; what it ends goes once the state is synced. */
  look(): void;
  /** Resolves once all that is under way, with synced state, is done. */
  idle(): Promise<void>;
  stop(): void;
}

/** Refusals after which the driver may propose the command again, so that the outcome of the commit is still open. */
const OPEN: ReadonlySet<Refusal> = new Set(["session", "version"]);
const PERIOD_MS = 10_000;
const UNKNOWN_DEADLINE_MS = 3_600_000;

/**
 * Ends pins and drops copies as the applied state says (design.md, "The record of a blob", Pins). A pin ends by the outcome of its own commit: a
 * `blob.commit` that names this node, a `copy.add` of this node, or the deadline of both having passed in catalog time; never because the record lists this
 * node already. It is kept where the record lists this node. Nothing is unlinked before the state that said so is on stable storage.
 */
export function startSettling(options: SettleOptions): Settling {
  return new Settler(options);
}

interface Job {
  /** Of the state that decided it: it waits until that is synced. */
  index: number;
  readonly digest: Digest;
  /** Undefined: the settled bytes are to go. */
  readonly commitId: string | undefined;
  /** Whether the record listed this node at `index`. */
  listed: boolean;
}

class Settler implements Settling {
  readonly #options: SettleOptions;
  readonly #stops: readonly (() => void)[];
  readonly #firstSeen = new Map<string, CatalogTime>();
  readonly #queued = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  #jobs: Job[] = [];

  constructor(options: SettleOptions) {
    this.#options = options;
    const { clock, consensus } = options;
    this.#stops = [
      consensus.onApplied((applied) => this.#hear(applied)),
      consensus.onSynced((index) => this.#work(index)),
      // outcomes that it brought were not heard, but its time may have ended their pins
      consensus.onInstalled(() => this.look()),
      clock.every(options.periodMs ?? PERIOD_MS, () => this.look()),
    ];
    this.look();
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #isListed(digest: Digest): boolean {
    const record = this.#options.consensus.catalog.blob(digest);
    return record?.state === "live" && record.copies.includes(this.#options.self);
  }

  #hear({ index, command, outcome }: Applied): void {
    const { self } = this.#options;
    const open = outcome.refused !== undefined && OPEN.has(outcome.refused);
    switch (command.type) {
      case "blob.commit":
        // a target that is not named may still be added under the same id, by `copy.add`
        if (!open && command.copies.includes(self)) this.#queue(index, command.digest, command.commitId);
        break;
      case "copy.add":
        if (!open && command.copy === self) this.#queue(index, command.digest, command.commitId);
        break;
      case "copy.drop":
        if (outcome.refused === undefined && command.copy === self) this.#queue(index, command.digest, undefined);
        break;
      case "cache.evict":
        if (outcome.refused === undefined) this.#queue(index, command.digest, undefined);
        break;
    }
  }

  #queue(index: number, digest: Digest, commitId: string | undefined): void {
    const key = keyOf({ digest, commitId });
    if (this.#queued.has(key)) return;
    this.#queued.add(key);
    this.#jobs.push({ index, digest, commitId, listed: this.#isListed(digest) });
  }

  look(): void {
    const { blobs, consensus, unknownDeadlineMs = UNKNOWN_DEADLINE_MS } = this.#options;
    const now = consensus.catalog.time();
    const { appliedIndex, syncedIndex } = consensus.status();
    const pins = blobs.pins();
    for (const pin of pins) {
      const deadline = deadlineOf(pin.commitId) ?? this.#seen(pin, now) + unknownDeadlineMs;
      if (now > deadline) this.#queue(appliedIndex, pin.digest, pin.commitId);
    }
    const standing = new Set(pins.map(keyOf));
    for (const key of this.#firstSeen.keys()) if (!standing.has(key)) this.#firstSeen.delete(key);
    this.#work(syncedIndex);
  }

  #seen(pin: Pin, now: CatalogTime): CatalogTime {
    const key = keyOf(pin);
    const first = this.#firstSeen.get(key) ?? now;
    this.#firstSeen.set(key, first);
    return first;
  }

  /** All that was decided by a state that is synced now. */
  #work(synced: number): void {
    if (this.#jobs.length === 0) return;
    const ready = this.#jobs.filter((job) => job.index <= synced);
    if (ready.length === 0) return;
    this.#jobs = this.#jobs.filter((job) => job.index > synced);
    for (const job of ready) {
      const work = this.#run(job).finally(() => this.#running.delete(work));
      this.#running.add(work);
    }
  }

  async #run(job: Job): Promise<void> {
    const { blobs, consensus, log } = this.#options;
    const { digest, commitId } = job;
    const listed = this.#isListed(digest);
    if (job.listed && !listed) {
      // it was struck from the record since: that state must be synced too before the bytes may go
      job.listed = false;
      job.index = consensus.status().appliedIndex;
      this.#jobs.push(job);
      return;
    }
    this.#queued.delete(keyOf(job));
    try {
      if (commitId === undefined) await blobs.drop(digest, () => !this.#isListed(digest));
      else await blobs.settle({ digest, commitId }, listed);
    } catch (error) {
      // the pin stands, and is looked at again after its deadline
      log.error({ digest, commitId, error }, "a pin could not be settled: its bytes stay where they are");
    }
  }
}

function keyOf({ digest, commitId }: { readonly digest: Digest; readonly commitId: string | undefined }): string {
  return `${digest} ${commitId ?? ""}`;
}
