import type { Clock } from "../core/clock.ts";
import type { RaftId } from "../core/peer.ts";
import type { ConfState } from "../raft/types.ts";

export interface ContactOptions {
  readonly self: RaftId;
  readonly clock: Clock;
  /** Without a majority for this long the node is cut off: one election timeout. */
  readonly timeoutMs: number;
  /** How often `check` is called. */
  readonly tickMs: number;
  readonly ping: (to: RaftId) => void;
  readonly changed: (cutOff: boolean) => void;
}

/**
 * Whether a majority of voters can be reached. Followers say nothing to each other, so a node that hears too little asks by
 * a ping: else each election would look like a partition.
 */
export class Contact {
  readonly #options: ContactOptions;
  readonly #heard = new Map<RaftId, number>();
  /** Time as far as this node could listen: a stretch in which its own event loop stood still counts for little, since what came in then is read after it. */
  #listenedMs = 0;
  #checkedAt: number;
  #lost = false;
  #unanswered = false;
  #cutOff = false;

  constructor(options: ContactOptions) {
    this.#options = options;
    this.#checkedAt = options.clock.monotonicMs();
  }

  /** G3. No contact with a majority of voters for one election timeout, or three failed barriers. */
  get cutOff(): boolean {
    return this.#cutOff;
  }

  /** Three barriers in a row were not answered, though a leader was known. */
  get unanswered(): boolean {
    return this.#unanswered;
  }

  heard(from: RaftId): void {
    this.#heard.set(from, this.#listenedMs);
  }

  heardWithin(id: RaftId, ms: number): boolean {
    return id === this.#options.self || this.#listenedMs - (this.#heard.get(id) ?? Number.NEGATIVE_INFINITY) <= ms;
  }

  /** A read round failed for the third time, or one was answered. */
  setUnanswered(unanswered: boolean): void {
    this.#unanswered = unanswered;
    this.#settle();
  }

  /** To be called each tick, and where a message may have ended a cut. */
  check(conf: ConfState): void {
    const { clock, timeoutMs, tickMs, self, ping } = this.#options;
    const now = clock.monotonicMs();
    this.#listenedMs += Math.min(now - this.#checkedAt, STALL_TICKS * tickMs);
    this.#checkedAt = now;
    // Each peer's mark holds for one timeout, so a majority that is missed has been gone for one.
    this.#lost = this.#listenedMs > timeoutMs && !this.#majority(conf, timeoutMs);
    const quietMs = this.#majority(conf, timeoutMs * QUIET) ? timeoutMs * WARM : timeoutMs * QUIET;
    const { voters, votersOutgoing } = conf;
    for (const id of votersOutgoing.length === 0 ? voters : new Set([...voters, ...votersOutgoing])) {
      if (id !== self && !this.heardWithin(id, quietMs)) ping(id);
    }
    this.#settle();
  }

  /** Cheap: a message came while cut off. */
  recheck(conf: ConfState): void {
    if (!this.#majority(conf, this.#options.timeoutMs)) return;
    this.#lost = false;
    this.#settle();
  }

  #settle(): void {
    const cutOff = this.#lost || this.#unanswered;
    if (cutOff === this.#cutOff) return;
    this.#cutOff = cutOff;
    this.#options.changed(cutOff);
  }

  #majority(conf: ConfState, ms: number): boolean {
    return this.#half(conf.voters, ms) && this.#half(conf.votersOutgoing, ms);
  }

  #half(voters: readonly RaftId[], ms: number): boolean {
    let count = 0;
    for (const id of voters) if (this.heardWithin(id, ms)) count += 1;
    return voters.length === 0 || count > voters.length / 2;
  }
}

/** Peers are asked once they have been quiet for this part of the timeout. */
const QUIET = 0.3;
/** While all is well they are asked now and then, so that the streams between followers are there when a leader is lost. */
const WARM = 5;
/** A tick that comes later than this many was held up here. */
const STALL_TICKS = 2;
