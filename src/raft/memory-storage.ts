import { RaftError } from "./errors.ts";
import { limitSize } from "./log.ts";
import {
  type ConfState,
  type Entry,
  type HardState,
  type Index,
  isEmptyHardState,
  type Missing,
  NO_CONFIGURATION,
  type Snapshot,
  type Storage,
  type Term,
} from "./types.ts";

const EMPTY_SNAPSHOT: Snapshot = { meta: { index: 0, term: 0, confState: NO_CONFIGURATION }, data: new Uint8Array(0) };

/** Storage in memory, for tests and simulations. */
export class MemoryStorage implements Storage {
  #hardState: HardState | undefined;
  #confState: ConfState;
  #snapshot: Snapshot = EMPTY_SNAPSHOT;
  #compactedTo: { readonly index: Index; readonly term: Term } = { index: 0, term: 0 };
  #entries: Entry[] = [];

  /** @param confState of a group that starts without a snapshot */
  constructor(confState: ConfState = NO_CONFIGURATION) {
    this.#confState = confState;
  }

  initialState(): { hardState: HardState | undefined; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.meta.index > 0 ? this.#snapshot.meta.confState : this.#confState };
  }

  firstIndex(): Index {
    return this.#compactedTo.index + 1;
  }

  lastIndex(): Index {
    return this.#compactedTo.index + this.#entries.length;
  }

  term(index: Index): Term | Missing {
    if (index < this.#compactedTo.index) return "compacted";
    if (index === this.#compactedTo.index) return this.#compactedTo.term;
    return this.#entries[index - this.firstIndex()]?.term ?? "unavailable";
  }

  entries(lo: Index, hi: Index, maxBytes: number): readonly Entry[] | Missing {
    const first = this.firstIndex();
    if (lo < first) return "compacted";
    if (hi > this.lastIndex() + 1) return "unavailable";
    return limitSize(this.#entries, lo - first, hi - first, maxBytes);
  }

  snapshot(): Snapshot | "unavailable" {
    return this.#snapshot.meta.index === 0 ? "unavailable" : this.#snapshot;
  }

  setHardState(state: HardState): void {
    if (!isEmptyHardState(state)) this.#hardState = state;
  }

  /** Replaces what conflicts; entries that a snapshot covers already are ignored. */
  append(entries: readonly Entry[]): void {
    const first = this.firstIndex();
    const begin = entries[0]?.index ?? first;
    const fresh = begin < first ? entries.slice(first - begin) : entries;
    const from = fresh[0]?.index;
    if (from === undefined) return;
    if (from > this.lastIndex() + 1) {
      throw new RaftError("invariantBroken", `entries from ${from} leave a gap in storage that ends at ${this.lastIndex()}`, { from });
    }
    if (from <= this.lastIndex()) this.#entries.length = from - first;
    for (const entry of fresh) this.#entries.push(entry);
  }

  /** Takes the place of the whole log. */
  applySnapshot(snapshot: Snapshot): void {
    const { index, term } = snapshot.meta;
    if (this.#snapshot.meta.index !== 0 && this.#snapshot.meta.index >= index) {
      const facts = { index, existing: this.#snapshot.meta.index };
      throw new RaftError("snapshotOutOfDate", "requested index is older than the existing snapshot", facts);
    }
    this.#snapshot = snapshot;
    this.#compactedTo = { index, term };
    this.#entries = [];
  }

  /** Notes a snapshot of the applied state to send to others; the log stays. */
  setSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
  }

  /** Drops the entries up to `index`, which must be stored. */
  compact(index: Index): void {
    if (index <= this.#compactedTo.index) return;
    const term = this.term(index);
    if (typeof term !== "number")
      throw new RaftError("invariantBroken", `cannot compact to ${index}: the log ends at ${this.lastIndex()}`, { index });
    this.#entries = this.#entries.slice(index - this.#compactedTo.index);
    this.#compactedTo = { index, term };
  }
}
