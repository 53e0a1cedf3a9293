import type { Clock } from "../core/clock.ts";
import type { RaftId } from "../core/peer.ts";

/** A member that did not take a copy (it just begins, or its disk is full) is asked again after so long; each time after twice as long, up to a limit. */
const REFUSED_MS = 3_000;
const REFUSED_MAX_MS = 60_000;

/** Members that were reached and took no copy of late: one attempt shows it, and not one for each blob. */
export class Refusals {
  readonly #clock: Clock;
  readonly #onOver: () => void;
  /** Also those that may be asked again, until they take something. */
  readonly #members = new Map<RaftId, { readonly untilMs: number; readonly delayMs: number }>();

  /** @param onOver called when a member may be asked again */
  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  add(member: RaftId): void {
    const delayMs = Math.min(REFUSED_MAX_MS, 2 * (this.#members.get(member)?.delayMs ?? REFUSED_MS / 2));
    this.#members.set(member, { untilMs: this.#clock.monotonicMs() + delayMs, delayMs });
    this.#clock.after(delayMs, this.#onOver);
  }

  took(member: RaftId): void {
    this.#members.delete(member);
  }

  /** @returns whether there were any */
  clear(): boolean {
    const were = this.#members.size > 0;
    this.#members.clear();
    return were;
  }

  /** Those that are not to be asked now. */
  current(): ReadonlySet<RaftId> {
    const nowMs = this.#clock.monotonicMs();
    return new Set([...this.#members].flatMap(([member, { untilMs }]) => (nowMs < untilMs ? member : [])));
  }
}
