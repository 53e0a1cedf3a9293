import { type Entry, entrySize } from "../raft/types.ts";

/** The newest entries of the log in memory, contiguous, bounded by bytes. */
export class EntryTail {
  readonly #maxBytes: number;
  #entries: Entry[] = [];
  /** How many of `#entries` are gone from its front; the array is trimmed now and then. */
  #skip = 0;
  #first = 1;
  #sizeBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(index: number): Entry | undefined {
    return index < this.#first ? undefined : this.#entries[index - this.#first + this.#skip];
  }

  /** Replaces what is there from the first new index on. */
  append(entries: readonly Entry[]): void {
    const head = entries[0];
    if (head === undefined) return;
    const next = this.#first + this.#entries.length - this.#skip;
    if (head.index < this.#first || head.index > next) this.reset(head.index);
    else if (head.index < next) {
      for (const gone of this.#entries.splice(head.index - this.#first + this.#skip)) this.#sizeBytes -= entrySize(gone);
    }
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#sizeBytes += entrySize(entry);
    }
    while (this.#sizeBytes > this.#maxBytes && this.#entries.length - this.#skip > 1) this.#drop();
  }

  /** Forgets what is at or below `index`. */
  cut(index: number): void {
    while (this.#first <= index && this.#entries.length > this.#skip) this.#drop();
  }

  reset(first: number): void {
    this.#entries = [];
    this.#skip = 0;
    this.#first = first;
    this.#sizeBytes = 0;
  }

  #drop(): void {
    this.#sizeBytes -= entrySize(this.#entries[this.#skip]!);
    this.#skip += 1;
    this.#first += 1;
    if (this.#skip < 1024 && this.#skip < this.#entries.length) return;
    this.#entries.splice(0, this.#skip);
    this.#skip = 0;
  }
}
