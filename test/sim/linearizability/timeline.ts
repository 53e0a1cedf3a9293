import type { Operation } from "./model.ts";

const NONE = -1;

/**
 * The calls and returns of a history in the order of time, as a doubly linked list from which the search lifts operations and puts them back
 * (Lowe, "Testing for linearizability", section 4). Operations without an answer are not in it: they have no return to get past.
 */
export class Timeline {
  /** For each event the number of its operation. */
  readonly #operation: Int32Array;
  readonly #isReturn: Uint8Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #callOf: Int32Array;
  readonly #returnOf: Int32Array;
  /** The operations that had no answer, by their call. */
  readonly pending: readonly number[];
  /** The list's head: its `next` is the first event. */
  readonly head: number;
  readonly end: number;

  constructor(history: readonly Operation<unknown, unknown>[]) {
    const events: { operation: number; at: number; isReturn: boolean }[] = [];
    for (const [operation, { calledAt, returned }] of history.entries()) {
      events.push({ operation, at: calledAt, isReturn: false });
      if (returned !== undefined) events.push({ operation, at: returned.at, isReturn: true });
    }
    // At equal times calls go first: what touches counts as concurrent.
    events.sort((a, b) => a.at - b.at || Number(a.isReturn) - Number(b.isReturn));
    this.head = events.length;
    this.end = events.length + 1;
    this.#operation = Int32Array.from(events, ({ operation }) => operation);
    this.#isReturn = Uint8Array.from(events, ({ isReturn }) => Number(isReturn));
    this.#callOf = new Int32Array(history.length).fill(NONE);
    this.#returnOf = new Int32Array(history.length).fill(NONE);
    this.#next = new Int32Array(events.length + 2).fill(NONE);
    this.#previous = new Int32Array(events.length + 2).fill(NONE);
    let last = this.head;
    for (const [event, { operation, isReturn }] of events.entries()) {
      (isReturn ? this.#returnOf : this.#callOf)[operation] = event;
      if (history[operation]!.returned === undefined) continue;
      this.#join(last, event);
      last = event;
    }
    this.#join(last, this.end);
    this.pending = events.filter(({ operation }) => history[operation]!.returned === undefined).map(({ operation }) => operation);
  }

  next(event: number): number {
    return this.#next[event]!;
  }

  operationAt(event: number): number {
    return this.#operation[event]!;
  }

  isReturn(event: number): boolean {
    return this.#isReturn[event] === 1;
  }

  callOf(operation: number): number {
    return this.#callOf[operation]!;
  }

  /** Takes call and return out. They keep their links, by which `restore` puts them back; the last one lifted must be the first restored. */
  lift(operation: number): void {
    const call = this.#callOf[operation]!;
    this.#join(this.#previous[call]!, this.#next[call]!);
    const end = this.#returnOf[operation]!;
    this.#join(this.#previous[end]!, this.#next[end]!);
  }

  restore(operation: number): void {
    const end = this.#returnOf[operation]!;
    this.#next[this.#previous[end]!] = end;
    this.#previous[this.#next[end]!] = end;
    const call = this.#callOf[operation]!;
    this.#next[this.#previous[call]!] = call;
    this.#previous[this.#next[call]!] = call;
  }

  #join(before: number, after: number): void {
    this.#next[before] = after;
    this.#previous[after] = before;
  }
}
