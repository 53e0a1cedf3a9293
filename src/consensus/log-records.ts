/** Where the records of the log begin, in order. Each holds the entries from its first index up to the next record, or to the end of the log. */
export class RecordList {
  readonly #firsts: number[] = [];

  /** While the log is loaded: the next one. */
  push(first: number): void {
    this.#firsts.push(first);
  }

  /** The record that holds the entry at `index`. */
  holding(index: number): number | undefined {
    return this.#firsts[countBelow(this.#firsts, index + 1) - 1];
  }

  /** To plan a batch on: the list stays as it is until the batch is written. */
  draft(): RecordDraft {
    return new RecordDraft(this.#firsts);
  }

  take({ from, to, added }: RecordDraft): void {
    this.#firsts.length = to;
    this.#firsts.push(...added);
    if (from > 0) this.#firsts.splice(0, from);
  }
}

/** The records as a batch will leave them. Each change answers which ones go. */
export class RecordDraft {
  readonly #before: readonly number[];
  /** Of those before, from here to `to` stay. */
  from = 0;
  to: number;
  added: number[] = [];

  constructor(before: readonly number[]) {
    this.#before = before;
    this.to = before.length;
  }

  /** One more, in the place of all from `first` on. The record before it may go on beyond `first`: that part counts no more. */
  append(first: number): number[] {
    const to = Math.min(this.to, Math.max(this.from, countBelow(this.#before, first)));
    const gone = [...this.#before.slice(to, this.to), ...this.added.splice(countBelow(this.added, first))];
    this.to = to;
    this.added.push(first);
    return gone;
  }

  clear(): number[] {
    const gone = [...this.#before.slice(this.from, this.to), ...this.added];
    this.from = this.to;
    this.added = [];
    return gone;
  }

  /** Those of which nothing lies above `index` go. */
  cut(index: number, lastIndex: number): number[] {
    const gone: number[] = [];
    for (let first = this.#at(0); first !== undefined && (this.#at(1) ?? lastIndex + 1) <= index + 1; first = this.#at(0)) {
      gone.push(first);
      if (this.from < this.to) this.from += 1;
      else this.added.shift();
    }
    return gone;
  }

  #at(place: number): number | undefined {
    const at = this.from + place;
    return at < this.to ? this.#before[at] : this.added[at - this.to];
  }
}

/** How many of the sorted numbers are below `bound`. */
function countBelow(sorted: readonly number[], bound: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
