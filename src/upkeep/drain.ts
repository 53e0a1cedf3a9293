import type { Applied, Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import { targetCopies } from "./standing.ts";

export interface DrainOptions {
  readonly consensus: Consensus;
  readonly self: RaftId;
  /** `durability.copies`, where the cluster's record names none. */
  readonly copies: number;
  readonly clock: Clock;
  readonly log: Log;
  /** How often copies that could not go yet are looked at again. */
  readonly periodMs?: number;
}

export interface Draining {
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
  stop(): void;
}

const PERIOD_MS = 30_000;
const PAGE = 256;
/** Proposals on their way at once. */
const AT_ONCE = 16;

/**
 * While this node drains: gives up each of its copies once as many others as the record is to have lie on members that stay (design.md, "Joining, leaving,
 * losing"). Repair makes those; the files go when the drop has applied (`settle.ts`).
 */
export function startDraining(options: DrainOptions): Draining {
  return new Drainer(options);
}

class Drainer implements Draining {
  readonly #options: DrainOptions;
  readonly #stops: readonly (() => void)[];
  readonly #going = new Set<Promise<void>>();
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: DrainOptions) {
    this.#options = options;
    const { consensus, clock } = options;
    this.#stops = [
      consensus.onApplied((applied) => this.#hear(applied)),
      consensus.onInstalled(() => this.#wake()),
      clock.every(options.periodMs ?? PERIOD_MS, () => this.#wake()),
    ];
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#stops) stop();
  }

  async idle(): Promise<void> {
    while (this.#running !== undefined || this.#going.size > 0) await Promise.all([this.#running, ...this.#going]);
  }

  #hear({ command, outcome }: Applied): void {
    if (outcome.refused !== undefined) return;
    if (command.type === "member.state") this.#wake();
    // of this one alone: to look through all of them for each copy that is made would take longer and longer
    const isNewCopy = command.type === "copy.add" || command.type === "blob.commit";
    if (isNewCopy && this.#drains() && this.#mayGo(command.digest)) this.#goes(command.digest);
  }

  #goes(digest: Digest): void {
    const going = this.#giveUp(digest)
      .catch((error: unknown) => this.#options.log.debug({ digest, error }, "a copy of a node that drains stays until the next pass"))
      .finally(() => this.#going.delete(going));
    this.#going.add(going);
  }

  #drains(): boolean {
    const { consensus, self } = this.#options;
    return !this.#stopped && consensus.catalog.member(self)?.draining === true;
  }

  #wake(): void {
    if (!this.#drains()) return;
    this.#again = true;
    this.#running ??= this.#passes().finally(() => {
      this.#running = undefined;
    });
  }

  async #passes(): Promise<void> {
    const { consensus, log } = this.#options;
    await Promise.resolve(); // the listeners of the entry that woke it come first
    while (this.#again && this.#drains()) {
      this.#again = false;
      if (consensus.status().cutOff) return;
      try {
        await this.#pass();
      } catch (error) {
        log.warn({ error }, "copies of a node that drains could not be given up yet: it is tried again");
      }
    }
  }

  async #pass(): Promise<void> {
    const { catalog } = this.#options.consensus;
    for (let after = ""; this.#drains(); ) {
      const page = await catalog.heldBy(this.#options.self, after, PAGE);
      const free = page.filter((digest) => this.#mayGo(digest));
      while (free.length > 0 && this.#drains()) await Promise.all(free.splice(0, AT_ONCE).map((digest) => this.#giveUp(digest)));
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = last;
    }
  }

  #mayGo(digest: Digest): boolean {
    const { consensus, self, copies } = this.#options;
    const record = consensus.catalog.blob(digest);
    if (record?.state !== "live" || !record.copies.includes(self)) return false;
    const staying = consensus.catalog.holders(record).filter((member) => member.raftId !== self && !member.draining && !member.down);
    return staying.length >= targetCopies(consensus.catalog, copies);
  }

  async #giveUp(digest: Digest): Promise<void> {
    const { consensus, self, log } = this.#options;
    const { refused } = await consensus.propose({ type: "copy.drop", digest, copy: self, bad: false, keepUp: true });
    // `count`: a copy went elsewhere meanwhile; the next pass looks again
    if (refused !== undefined) log.debug({ digest, refused }, "a copy of a node that drains stays for now");
  }
}
