import type { Clock } from "../core/clock.ts";
import { OciError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Space } from "./database.ts";
import type { Membership } from "./membership.ts";

export interface SpaceGuardOptions {
  readonly space: () => Promise<Space>;
  readonly clock: Clock;
  readonly log: Log;
}

const LOOK_MS = 1_000;
/** The heir's disk may be full as well: leadership is not to go to and fro. */
const HAND_OVER_MS = 60_000;
/** An heir may lack this many entries, which it is sent before it takes over. */
const BEHIND_MAX = 1_024;

/**
 * Looks at the disk of log and catalog each second. While there is little room, this node proposes nothing of its own and leads only where nobody else can; what others
 * propose it takes, as that is the cluster's. It goes on by itself once there is room.
 */
export class SpaceGuard {
  readonly #options: SpaceGuardOptions;
  #refusal: OciError | undefined;
  #handedOverAt: number | undefined;
  #stop: (() => void) | undefined;
  #looking = false;

  constructor(options: SpaceGuardOptions) {
    this.#options = options;
  }

  /** Why this node proposes nothing now. */
  get refusal(): OciError | undefined {
    return this.#refusal;
  }

  start(membership: Membership): void {
    this.#stop = this.#options.clock.every(LOOK_MS, () => void this.#look(membership));
  }

  stop(): void {
    this.#stop?.();
  }

  async #look(membership: Membership): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      this.#saw(await this.#options.space(), membership);
    } catch (error) {
      // What cannot be looked at is no reason to refuse: a write will tell.
      this.#options.log.warn({ error: String(error) }, "the free space of the disk cannot be told");
    } finally {
      this.#looking = false;
    }
  }

  #saw({ freeBytes, lowBytes }: Space, membership: Membership): void {
    const { log } = this.#options;
    const before = this.#refusal;
    this.#refusal = freeBytes < lowBytes ? fullError(freeBytes, lowBytes) : undefined;
    if (this.#refusal === undefined) {
      if (before !== undefined) log.info({ freeBytes }, "there is room on the disk again: this node goes on");
      return;
    }
    if (before === undefined)
      log.error({ freeBytes, lowBytes }, "the disk is nearly full: this node proposes nothing until space is freed");
    if (membership.leads()) this.#handOver(membership);
  }

  #handOver(membership: Membership): void {
    const { clock, log } = this.#options;
    const now = clock.monotonicMs();
    if (this.#handedOverAt !== undefined && now - this.#handedOverAt < HAND_OVER_MS) return;
    const { voters } = membership.configuration();
    const heir = membership
      .progress()
      .filter(
        ({ raftId, active, match }) =>
          active && raftId !== membership.self && voters.includes(raftId) && match + BEHIND_MAX >= membership.lastIndex(),
      )
      .sort((a, b) => b.match - a.match)[0];
    if (heir === undefined) return;
    this.#handedOverAt = now;
    log.warn({ to: heir.raftId }, "the disk is nearly full: leadership is handed over");
    membership.transferLeader(heir.raftId);
  }
}

function fullError(freeBytes: number, lowBytes: number): OciError {
  return new OciError(
    "INSUFFICIENT_STORAGE",
    "disk full on this node: what it has left is kept for what others write. Free space on it, or ask another node.",
    { freeBytes, lowBytes },
  );
}
