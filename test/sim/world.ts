import { type Random, seededRandom } from "../../src/core/random.ts";
import { EventHeap, type EventKind, type Owner, type SimEvent } from "./event-heap.ts";
import { TraceHash } from "./trace-hash.ts";

/** Thrown out of a step by an invariant; ends the seed. */
export class ViolationError extends Error {
  override readonly name = "ViolationError";
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(message);
    this.invariant = invariant;
  }
}

/** Steps between two turns of Node's own event loop, in which a process hears from the one that started it. */
const STEPS_AT_ONCE = 512;

/** Virtual time and everything that is going to happen in it. One thread, no real timer; all randomness comes from the seed. */
export class World {
  readonly seed: number;
  readonly hash = new TraceHash();
  readonly #heap = new EventHeap();
  readonly #deferred: SimEvent[] = [];
  #now = 0;
  #steps = 0;
  #sequence = 0;
  #violation: ViolationError | undefined;
  /** Lines of what happens, for whoever looks at one seed. */
  trace: ((line: string) => void) | undefined;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Virtual ms since the beginning. */
  get now(): number {
    return this.#now;
  }

  /** Events that have happened. */
  get steps(): number {
    return this.#steps;
  }

  get violation(): ViolationError | undefined {
    return this.#violation;
  }

  /** A stream of its own for each concern, so that one drawing more does not change the others. */
  fork(concern: number): Random {
    return seededRandom(Math.imul(this.seed + 1, 0x9e3779b1) ^ Math.imul(concern + 1, 0x85ebca6b));
  }

  /** @returns cancels it */
  after(delayMs: number, kind: EventKind, owner: Owner | undefined, run: () => void): () => void {
    const event: SimEvent = { at: this.#now + Math.max(0, delayMs), sequence: this.#nextSequence(), kind, owner, run };
    this.#heap.push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** @param period asked each time, in virtual ms */
  every(period: () => number, owner: Owner | undefined, run: () => void): () => void {
    const event: SimEvent = { at: this.#now + period(), sequence: this.#nextSequence(), kind: "timer", owner, run: undefined };
    let running = true;
    event.run = () => {
      if (running && (owner === undefined || owner.alive)) {
        event.at = this.#now + period();
        event.sequence = this.#nextSequence();
        this.#heap.push(event);
      }
      run();
    };
    this.#heap.push(event);
    return () => {
      running = false;
      event.run = undefined;
    };
  }

  /** Runs it once all that is due now has run, with its microtasks: as `setImmediate` does in a turn of the event loop. */
  defer(owner: Owner, run: () => void): void {
    this.#deferred.push({ at: this.#now, sequence: 0, kind: "defer", owner, run });
  }

  /** Ends the seed. The first one counts. */
  fail(violation: ViolationError): void {
    this.#violation ??= violation;
  }

  note(line: () => string): void {
    this.trace?.(`${this.#now.toFixed(1).padStart(10)} ${String(this.#steps).padStart(6)}  ${line()}`);
  }

  /** Lets things happen until `done` says so after a step, nothing is left, or an invariant is broken. */
  run(done: () => boolean): Promise<void> {
    return new Promise<void>((resolve) => {
      let left = STEPS_AT_ONCE;
      const turn = (): void => {
        if (!this.#turn(done)) {
          resolve();
          return;
        }
        left -= 1;
        if (left > 0) queueMicrotask(next);
        else {
          left = STEPS_AT_ONCE;
          setImmediate(turn);
        }
      };
      // Node runs what is queued for the next tick once no microtask is left: all that a step has set off has come to rest by then.
      const next = (): void => process.nextTick(turn);
      setImmediate(turn);
    });
  }

  /** @returns false where there is no more to do */
  #turn(done: () => boolean): boolean {
    if (this.#violation !== undefined) return false;
    try {
      if (this.#deferred.length > 0 && !this.#isDue(this.#heap.next)) {
        for (const { owner, run } of this.#deferred.splice(0)) if (owner?.alive !== false) run?.();
        return true;
      }
      return !done() && this.#step();
    } catch (error) {
      this.fail(error instanceof ViolationError ? error : new ViolationError("no uncaught error", stackOf(error)));
      return false;
    }
  }

  /** What a machine was kept from by a pause comes all at once: from the disk, from the network, in one turn. */
  #isDue(event: SimEvent | undefined): boolean {
    if (event?.run === undefined || event.at > this.#now) return false;
    const { owner } = event;
    return owner === undefined || (owner.alive && owner.pausedUntil <= event.at);
  }

  #step(): boolean {
    for (let event = this.#heap.pop(); event !== undefined; event = this.#heap.pop()) {
      const { owner, run } = event;
      if (run === undefined || owner?.alive === false) continue;
      if (owner !== undefined && owner.pausedUntil > event.at) {
        event.at = owner.pausedUntil + (event.kind === "message" ? owner.backlogMs : 0);
        this.#heap.push(event);
        continue;
      }
      this.#now = event.at;
      this.#steps += 1;
      this.hash.add(event.at * 1024);
      this.hash.add(owner?.id ?? 0);
      run();
      return true;
    }
    return false;
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
