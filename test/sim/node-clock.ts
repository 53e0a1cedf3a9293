import type { Clock } from "../../src/core/clock.ts";
import type { Owner } from "./event-heap.ts";
import type { World } from "./world.ts";

/** What a machine's clock makes of virtual time. */
export interface ClockDrift {
  /** Its ms in a virtual one. */
  rate: number;
  /** Grows where the clock jumps. */
  offsetMs: number;
}

/** The clock of one start of a node's process: its timers die with it. */
export class NodeClock implements Clock {
  readonly #world: World;
  readonly #owner: Owner;
  readonly #drift: ClockDrift;

  constructor(world: World, owner: Owner, drift: ClockDrift) {
    this.#world = world;
    this.#owner = owner;
    this.#drift = drift;
  }

  /** Far from monotonic, as wall clocks may be: nothing may depend on it. */
  wallMs(): number {
    return 1.7e12 + this.monotonicMs() * 3;
  }

  monotonicMs(): number {
    return this.#world.now * this.#drift.rate + this.#drift.offsetMs;
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#world.after(delayMs / this.#drift.rate, "timer", this.#owner, run);
  }

  every(periodMs: number, run: () => void): () => void {
    return this.#world.every(() => periodMs / this.#drift.rate, this.#owner, run);
  }
}
