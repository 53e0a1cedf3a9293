import { Configurations, mix } from "./configurations.ts";
import { type Model, type Operation, STATES_MAX } from "./model.ts";
import { Timeline } from "./timeline.ts";

const WORD_BITS = 32;

/** An operation that the search has placed. */
interface Placed {
  readonly operation: number;
  /** The number of the state before it. */
  readonly before: number;
  /** A read that was legal where it stands: nothing else is worth a try in its place. */
  readonly forced: boolean;
}

/** How far a search came that found no order. Operations are named by their place in the history. */
export interface Furthest<State> {
  /** The operation whose return no order gets past. */
  readonly blocked: number;
  readonly order: readonly number[];
  readonly states: readonly State[];
}

/**
 * Looks for an order of one part's operations that keeps to time and model: depth first, with a memory of the configurations that led nowhere
 * (Wing & Gong's search, Lowe's memory). Two shortcuts spare most of the work, and neither loses an answer:
 * - A legal read is placed at once. In any order that works it can be moved up to here, for it changes nothing.
 * - An operation without an answer is tried after the others, and one that brought nothing is not worth a look: see `Configurations`.
 */
export class Search<State, Input, Output extends NonNullable<unknown> | null> {
  readonly #model: Model<State, Input, Output>;
  readonly #history: readonly Operation<Input, Output>[];
  readonly #timeline: Timeline;
  readonly #seen: Configurations;
  readonly #readOnly: readonly boolean[];
  /** The set of placed operations, and a hash of the answered ones among them that changes by one XOR with each. */
  readonly #placed: Uint32Array;
  #hash = 0;
  /** Each operation's bit in that set: the answered ones first, the others from the next word on. */
  readonly #bits: readonly number[];
  readonly #order: Placed[] = [];
  /** By the length of the order: what is still to be tried there of the operations without an answer, the next one last. */
  readonly #worthwhile: number[][] = [];
  /** Each state that came up; its number stands for it. */
  readonly #states: State[] = [];
  readonly #numbers = new Map<unknown, number>();
  #state: number;
  /** Operations with an answer that are not placed yet. */
  #missing: number;
  /** What was tried last in the place that is to be filled; undefined where nothing was. */
  #after: number | undefined;
  /** Of the dead ends so far, those that came furthest in time. */
  #blockedEvent = -1;
  #longest: readonly number[] = [];
  readonly #blockedStates = new Set<number>();

  constructor(model: Model<State, Input, Output>, history: readonly Operation<Input, Output>[]) {
    this.#model = model;
    this.#history = history;
    this.#timeline = new Timeline(history);
    this.#missing = history.length - this.#timeline.pending.length;
    const answeredWords = Math.ceil(this.#missing / WORD_BITS);
    const pendingWords = Math.ceil(this.#timeline.pending.length / WORD_BITS);
    this.#seen = new Configurations(answeredWords, pendingWords);
    this.#placed = new Uint32Array(answeredWords + pendingWords);
    let answered = 0;
    let pending = answeredWords * WORD_BITS;
    this.#bits = history.map(({ returned }) => (returned === undefined ? pending++ : answered++));
    this.#readOnly = history.map(({ input }) => model.isReadOnly?.(input) ?? false);
    this.#state = this.#numberOf(model.init);
  }

  /** Different configurations that the search came to. */
  get configurations(): number {
    return this.#seen.size;
  }

  /**
   * Searches on from where it paused.
   * @param configurationsMax pauses once it has come to so many, in all turns together
   */
  run(configurationsMax: number): "linearizable" | "paused" | Furthest<State> {
    if (this.#order.length === 0) this.#placeReads();
    while (this.#missing > 0) {
      if (this.configurations >= configurationsMax) return "paused";
      const blockedEvent = this.#placeNext(this.#after);
      if (blockedEvent === undefined) {
        this.#after = undefined;
        continue;
      }
      this.#noteDeadEnd(blockedEvent);
      this.#after = this.#takeBack();
      if (this.#after === undefined) return this.#furthest();
    }
    return "linearizable";
  }

  /**
   * Places the first operation after `after` that may come next.
   * @returns undefined, or the event of the return that stands in the way where there is none
   */
  #placeNext(after: number | undefined): number | undefined {
    const timeline = this.#timeline;
    const isPending = after !== undefined && this.#history[after]!.returned === undefined;
    let event = timeline.next(after === undefined || isPending ? timeline.head : timeline.callOf(after));
    for (; !timeline.isReturn(event); event = timeline.next(event)) {
      const operation = timeline.operationAt(event);
      // A read that is still there is not legal here, else `placeReads` had taken it.
      if (!isPending && !this.#readOnly[operation] && this.#place(operation)) return undefined;
    }
    const depth = this.#order.length;
    if (!isPending) this.#worthwhile[depth] = this.#worthwhilePending(event);
    const operation = this.#worthwhile[depth]?.pop();
    if (operation === undefined) return event;
    this.#pushWithReads(operation, this.#step(operation) ?? this.#state);
    return undefined;
  }

  /**
   * The operations without an answer that lead on from here to what is not known. All are noted as known before the first is followed: else each would
   * be followed beneath the others, where it uses up more of them, in every combination.
   */
  #worthwhilePending(before: number): number[] {
    const found: number[] = [];
    for (const operation of this.#timeline.pending) {
      if (this.#timeline.callOf(operation) > before) break;
      if (this.#isPlaced(operation) || this.#readOnly[operation] || !this.#place(operation)) continue;
      this.#takeBack();
      found.push(operation);
    }
    return found.reverse();
  }

  /** @returns false, with nothing changed, where the model refuses or the search was there before */
  #place(operation: number): boolean {
    const next = this.#step(operation);
    if (next === undefined) return false;
    this.#pushWithReads(operation, next);
    if (this.#seen.add(this.#placed, this.#hash, this.#state)) return true;
    this.#takeBack();
    return false;
  }

  #pushWithReads(operation: number, next: number): void {
    this.#push(operation, next, false);
    this.#placeReads();
  }

  /** One pass is enough: reads change no state, so those refused before stay refused. */
  #placeReads(): void {
    const timeline = this.#timeline;
    let before = timeline.head;
    for (let event = timeline.next(before); event !== timeline.end && !timeline.isReturn(event); event = timeline.next(before)) {
      const operation = timeline.operationAt(event);
      if (this.#readOnly[operation] && this.#step(operation) !== undefined) this.#push(operation, this.#state, true);
      else before = event;
    }
  }

  /** @returns the number of the state after it, or undefined where it may not come next */
  #step(operation: number): number | undefined {
    const { input, returned } = this.#history[operation]!;
    const { ok, state } = this.#model.step(this.#states[this.#state]!, input, returned?.output);
    return ok ? this.#numberOf(state) : undefined;
  }

  #push(operation: number, next: number, forced: boolean): void {
    this.#order.push({ operation, before: this.#state, forced });
    this.#flip(operation);
    this.#state = next;
    if (this.#history[operation]!.returned === undefined) return;
    this.#timeline.lift(operation);
    this.#missing -= 1;
  }

  /** Undoes the last choice and the reads that followed from it. @returns the operation chosen, or undefined where no choice is left */
  #takeBack(): number | undefined {
    for (let last = this.#order.pop(); last !== undefined; last = this.#order.pop()) {
      const { operation, before, forced } = last;
      this.#flip(operation);
      this.#state = before;
      if (this.#history[operation]!.returned !== undefined) {
        this.#timeline.restore(operation);
        this.#missing += 1;
      }
      if (!forced) return operation;
    }
    return undefined;
  }

  #flip(operation: number): void {
    const bit = this.#bits[operation]!;
    this.#placed[bit >>> 5]! ^= 1 << (bit & 31);
    if (this.#history[operation]!.returned !== undefined) this.#hash ^= mix(bit + 1);
  }

  #isPlaced(operation: number): boolean {
    const bit = this.#bits[operation]!;
    return ((this.#placed[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  #numberOf(state: State): number {
    const identity = this.#model.identity === undefined ? state : this.#model.identity(state);
    const known = this.#numbers.get(identity);
    if (known !== undefined) return known;
    this.#numbers.set(identity, this.#states.length);
    return this.#states.push(state) - 1;
  }

  #noteDeadEnd(blockedEvent: number): void {
    if (blockedEvent < this.#blockedEvent) return;
    if (blockedEvent > this.#blockedEvent) {
      this.#blockedEvent = blockedEvent;
      this.#longest = [];
      this.#blockedStates.clear();
    }
    if (this.#order.length > this.#longest.length) this.#longest = this.#order.map(({ operation }) => operation);
    if (this.#blockedStates.size < STATES_MAX) this.#blockedStates.add(this.#state);
  }

  #furthest(): Furthest<State> {
    return {
      blocked: this.#timeline.operationAt(this.#blockedEvent),
      order: this.#longest,
      states: [...this.#blockedStates].map((number) => this.#states[number]!),
    };
  }
}
