import { RaftError } from "./errors.ts";
import type { Entry, Index, Logger, Snapshot, Term } from "./types.ts";

/** The log's end that storage has not confirmed, and a snapshot on its way there. What was handed out once is in progress. */
export class Unstable {
  /** Index of the first entry here, or of the next one. */
  offset: Index;
  /** First index not handed to storage yet. */
  offsetInProgress: Index;
  entries: Entry[] = [];
  snapshot: Snapshot | undefined;
  #snapshotInProgress = false;
  readonly #log: Logger;

  constructor(offset: Index, log: Logger) {
    this.offset = offset;
    this.offsetInProgress = offset;
    this.#log = log;
  }

  firstIndex(): Index | undefined {
    return this.snapshot === undefined ? undefined : this.snapshot.meta.index + 1;
  }

  lastIndex(): Index | undefined {
    if (this.entries.length > 0) return this.offset + this.entries.length - 1;
    return this.snapshot?.meta.index;
  }

  term(index: Index): Term | undefined {
    if (index >= this.offset) return this.entries[index - this.offset]?.term;
    return this.snapshot?.meta.index === index ? this.snapshot.meta.term : undefined;
  }

  hasNextEntries(): boolean {
    return this.offset + this.entries.length > this.offsetInProgress;
  }

  nextEntries(): readonly Entry[] {
    return this.hasNextEntries() ? this.entries.slice(this.offsetInProgress - this.offset) : [];
  }

  nextSnapshot(): Snapshot | undefined {
    return this.#snapshotInProgress ? undefined : this.snapshot;
  }

  acceptInProgress(): void {
    this.offsetInProgress = Math.max(this.offsetInProgress, this.offset + this.entries.length);
    if (this.snapshot !== undefined) this.#snapshotInProgress = true;
  }

  /** Storage holds all up to the entry (index, term): a mismatch means that it was replaced while it was written. */
  stableTo(index: Index, term: Term): void {
    const own = this.term(index);
    if (own === undefined) {
      this.#log("info", () => `entry at index ${index} missing from unstable log; ignoring`);
    } else if (index < this.offset) {
      this.#log("info", () => `entry at index ${index} matched unstable snapshot; ignoring`);
    } else if (own !== term) {
      this.#log(
        "info",
        () => `entry at (index,term)=(${index},${term}) mismatched with entry at (${index},${own}) in unstable log; ignoring`,
      );
    } else {
      this.entries = this.entries.slice(index + 1 - this.offset);
      this.offset = index + 1;
      this.offsetInProgress = Math.max(this.offsetInProgress, this.offset);
    }
  }

  stableSnapshotTo(index: Index): void {
    if (this.snapshot?.meta.index !== index) return;
    this.snapshot = undefined;
    this.#snapshotInProgress = false;
  }

  restore(snapshot: Snapshot): void {
    this.offset = snapshot.meta.index + 1;
    this.offsetInProgress = this.offset;
    this.entries = [];
    this.snapshot = snapshot;
    this.#snapshotInProgress = false;
  }

  /** @param entries contiguous, beginning at most one past the end */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = entries[0]?.index ?? 0;
    const end = this.offset + this.entries.length;
    if (this.entries.length === 0 && from === end) {
      this.entries = entries.slice();
    } else if (from === end) {
      for (const entry of entries) this.entries.push(entry);
    } else if (from <= this.offset) {
      this.#log("info", () => `replace the unstable entries from index ${from}`);
      this.entries = [...entries];
      this.offset = from;
      this.offsetInProgress = from;
    } else if (from < end) {
      this.#log("info", () => `truncate the unstable entries before index ${from}`);
      this.entries.length = from - this.offset;
      for (const entry of entries) this.entries.push(entry);
      this.offsetInProgress = Math.min(this.offsetInProgress, from);
    } else {
      throw new RaftError("invariantBroken", `entries from index ${from} leave a gap in a log that ends before ${end}`, { from, end });
    }
  }
}
