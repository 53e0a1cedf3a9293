import type { Clock } from "../core/clock.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { RawNode } from "../raft/raw-node.ts";

export interface LeaderLossOptions {
  readonly node: Pick<RawNode, "status" | "forgetLeader" | "campaign">;
  readonly clock: Clock;
  readonly random: Random;
  readonly tickMs: number;
  readonly leader: () => RaftId;
  readonly heardWithin: (id: RaftId, ms: number) => boolean;
  readonly campaigned: () => void;
}

/** A leader whose process is there speaks with every tick. */
const SILENT_TICKS = 3;
const SPREAD_TICKS = 3;

/**
 * A leader that was killed refuses connections at once: nobody has to wait for an election timeout then. Its followers forget it,
 * which lets them vote, and stand for election soon. With PreVote nothing happens where the others still hear from it.
 */
export class LeaderLoss {
  readonly #options: LeaderLossOptions;
  #suspectedTerm = 0;
  #cancel: (() => void) | undefined;

  constructor(options: LeaderLossOptions) {
    this.#options = options;
  }

  /** A connection to `peer` broke or was refused. */
  unreachable(peer: RaftId): void {
    const { node, clock, random, tickMs, leader, heardWithin } = this.#options;
    if (peer !== leader() || heardWithin(peer, SILENT_TICKS * tickMs)) return;
    const { role, term } = node.status();
    if (role !== "follower" || this.#suspectedTerm === term) return;
    this.#suspectedTerm = term;
    node.forgetLeader();
    this.#cancel?.();
    this.#cancel = clock.after(random.float() * SPREAD_TICKS * tickMs, () => {
      const now = node.status();
      if (now.term !== term || now.role !== "follower" || now.leader !== 0) return;
      node.campaign();
      this.#options.campaigned();
    });
  }

  stop(): void {
    this.#cancel?.();
  }
}
