import type { Owner } from "../event-heap.ts";
import { type Carriage, type Carrier, SimStream } from "./sim-stream.ts";

const LOST = "the connection was lost";
/** How often the other end hears at once of a process that is gone. */
const HEARD_RATIO = 0.5;

export interface ConnectionOptions {
  readonly carrier: Carrier;
  readonly ends: readonly [Owner, Owner];
  /** Whether the weather breaks what is under way now. */
  readonly breaks: () => boolean;
}

/** Between two processes, with the streams on it. One end may be gone while the other does not know: until it says something. */
export class SimConnection implements Carriage {
  readonly ends: readonly [Owner, Owner];
  readonly #options: ConnectionOptions;
  readonly #streams = new Set<readonly [SimStream, SimStream]>();
  /** The ends that have given it up, or have heard that it is lost. */
  readonly #left = new Set<Owner>();
  readonly #told = new Set<Owner>();
  #broken = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.ends = options.ends;
  }

  get whole(): boolean {
    return !this.#broken && this.#left.size === 0 && this.ends.every(({ alive }) => alive);
  }

  /** Whether `end` still believes in it. */
  isOpenFor(end: Owner): boolean {
    return end.alive && !this.#left.has(end);
  }

  /** A stream from one end to the other: of its two ends, the opener's first. */
  open(opener: Owner): readonly [SimStream, SimStream] {
    const other = this.#otherOf(opener);
    const pair = SimStream.pair([opener, other], this.#options.carrier, this);
    this.#streams.add(pair);
    for (const stream of pair) {
      stream.addEventListener("close", () => {
        if (pair.every(({ status }) => status !== "open" && status !== "closing")) this.#streams.delete(pair);
      });
    }
    return pair;
  }

  /** One end gives it up; the other hears of it, if it can. */
  abort(end: Owner, error: Error): void {
    this.#leave(end, error);
    this.#tell(this.#otherOf(end));
  }

  noticed(): void {
    const dead = this.ends.find((end) => !end.alive);
    if (dead !== undefined) this.#tell(this.#otherOf(dead));
  }

  breaks(): boolean {
    if (this.#options.breaks()) this.break();
    return this.#broken;
  }

  /** Lost somewhere between the two. */
  break(): void {
    this.#broken = true;
    for (const end of this.ends) this.#tell(end);
  }

  /** The process at one end is gone. */
  died(end: Owner): void {
    if (this.#options.carrier.dice() < HEARD_RATIO) this.#tell(this.#otherOf(end));
  }

  #otherOf(end: Owner): Owner {
    return end === this.ends[0] ? this.ends[1] : this.ends[0];
  }

  #tell(end: Owner): void {
    if (this.#told.has(end) || !this.isOpenFor(end)) return;
    this.#told.add(end);
    this.#options.carrier.carry(this.#otherOf(end), end, () => this.#leave(end, new Error(LOST)));
  }

  #leave(end: Owner, error: Error): void {
    if (this.#left.has(end)) return;
    this.#left.add(end);
    for (const pair of [...this.#streams]) for (const stream of pair) if (stream.owner === end) stream.reset(error);
  }
}
