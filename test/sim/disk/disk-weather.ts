import type { Random } from "../../../src/core/random.ts";
import type { World } from "../world.ts";
import type { DiskBehaviour, WriteFailure } from "./sim-database.ts";

export interface DiskOptions {
  readonly syncMsMax: number;
  readonly writeBufferBytes: number;
  readonly keepsWitness: boolean;
}

/** How one node's disk behaves, now and while a fault lasts. */
export class DiskWeather implements DiskBehaviour {
  readonly writeBufferBytes: number;
  readonly keepsWitness: boolean;
  readonly #world: World;
  readonly #random: Random;
  readonly #syncMsMax: number;
  #slowUntil = 0;
  #slowMs = 0;
  #slowWritesUntil = 0;
  #slowWriteMs = 0;
  /** What the next write of its kind meets. */
  failing: WriteFailure | undefined;

  constructor(world: World, random: Random, options: DiskOptions) {
    this.#world = world;
    this.#random = random;
    this.#syncMsMax = options.syncMsMax;
    this.writeBufferBytes = options.writeBufferBytes;
    this.keepsWitness = options.keepsWitness;
  }

  /** Until then each sync takes up to so long, which may be longer than an election. */
  slow(untilMs: number, syncMs: number): void {
    this.#slowUntil = untilMs;
    this.#slowMs = syncMs;
  }

  /** The same for what is written without a sync: what is committed applies late. */
  slowWrites(untilMs: number, writeMs: number): void {
    this.#slowWritesUntil = untilMs;
    this.#slowWriteMs = writeMs;
  }

  latencyMs(sync: boolean): number {
    if (!sync) return 0.02 + this.#random.float() * (this.#world.now < this.#slowWritesUntil ? this.#slowWriteMs : 0.3);
    const slowMs = this.#world.now < this.#slowUntil ? this.#slowMs * this.#random.float() : 0;
    return 0.2 + this.#random.float() * this.#syncMsMax + slowMs;
  }

  failure(sync: boolean): WriteFailure | undefined {
    const { failing } = this;
    if (failing === undefined || (failing === "syncError" && !sync)) return undefined;
    this.failing = undefined;
    return failing;
  }
}
