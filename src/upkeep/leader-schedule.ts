import type { Membership } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";

export interface LeaderScheduleOptions {
  readonly membership: Pick<Membership, "leads">;
  readonly clock: Clock;
  readonly everyMs: number;
  /** Called when it is time, at each look until `ran`. */
  readonly run: () => void;
}

const LOOKS = 60;
const LOOK_MAX_MS = 60_000;

/** Time for work that the leader does now and then: so long after it was done last, or after this node began to lead, since what its predecessor did counts too. */
export class LeaderSchedule {
  readonly #options: LeaderScheduleOptions;
  readonly #stop: () => void;
  #sinceMs: number | undefined;

  constructor(options: LeaderScheduleOptions) {
    this.#options = options;
    const lookMs = Math.min(LOOK_MAX_MS, Math.max(1, options.everyMs / LOOKS));
    this.#stop = options.clock.every(lookMs, () => this.#look());
  }

  /** It was done just now, by its time or not. */
  ran(): void {
    this.#sinceMs = this.#options.clock.monotonicMs();
  }

  stop(): void {
    this.#stop();
  }

  #look(): void {
    const { clock, everyMs, membership, run } = this.#options;
    if (!membership.leads()) {
      this.#sinceMs = undefined;
      return;
    }
    this.#sinceMs ??= clock.monotonicMs();
    if (clock.monotonicMs() - this.#sinceMs >= everyMs) run();
  }
}
