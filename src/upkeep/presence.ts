import type { Consensus } from "../consensus/consensus.ts";
import type { Membership } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Member } from "../metadata/records.ts";

export interface PresenceOptions {
  readonly consensus: Pick<Consensus, "catalog" | "propose">;
  readonly membership: Pick<Membership, "self" | "leads" | "progress">;
  /** Whether `witness` reaches `member`, tried by it now; undefined where the witness does not answer. */
  readonly ask: (witness: Member, member: Member) => Promise<boolean | undefined>;
  /** `cluster.downAfter`. */
  readonly downAfterMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const PERIOD_MS = 1_000;
/** A member that is heard for so long is up again: one that only flickers is not. */
const UP_AFTER_MS = 5_000;
/** A member that another one reaches, or a proposal that failed, is looked at again after this. */
const RETRY_MS = 10_000;

/**
 * Says in the catalog which members are down and up, while this node leads: down where two members agree, the leader that has not heard from it for
 * `cluster.downAfter` and another one that does not reach it, and none that does (design.md, "Down and up").
 * @returns ends it
 */
export function keepPresence(options: PresenceOptions): () => void {
  const presence = new Presence(options);
  return options.clock.every(PERIOD_MS, () => presence.look());
}

interface Sight {
  readonly active: boolean;
  /** Since when it has been so, on the monotonic clock. */
  readonly sinceMs: number;
  notBeforeMs: number;
}

class Presence {
  readonly #options: PresenceOptions;
  /** What this leader has seen of each peer since it began to lead. */
  readonly #sights = new Map<RaftId, Sight>();
  readonly #busy = new Set<RaftId>();

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  look(): void {
    const { clock, consensus, downAfterMs, membership } = this.#options;
    const now = clock.monotonicMs();
    if (!membership.leads()) {
      this.#sights.clear();
      return;
    }
    for (const { raftId, active } of membership.progress()) {
      const member = consensus.catalog.member(raftId);
      if (member === undefined || raftId === membership.self) continue;
      const sight = this.#see(raftId, active, now);
      const isDue = now - sight.sinceMs >= (active ? UP_AFTER_MS : downAfterMs) && now >= sight.notBeforeMs;
      if (member.down !== active || !isDue || this.#busy.has(raftId)) continue;
      sight.notBeforeMs = now + RETRY_MS;
      this.#busy.add(raftId);
      void this.#settle(member, sight).finally(() => this.#busy.delete(raftId));
    }
  }

  #see(raftId: RaftId, active: boolean, now: number): Sight {
    const known = this.#sights.get(raftId);
    if (known?.active === active) return known;
    const sight = { active, sinceMs: now, notBeforeMs: now };
    this.#sights.set(raftId, sight);
    return sight;
  }

  async #settle(member: Member, sight: Sight): Promise<void> {
    const { consensus, log } = this.#options;
    const { raftId, name } = member;
    try {
      if (!sight.active && !(await this.#isMissed(member))) return;
      if (!this.#holds(raftId, sight)) return;
      const { refused } = await consensus.propose({ type: "member.state", raftId, down: !sight.active });
      if (refused !== undefined) log.warn({ member: name, refused }, "whether a member is down was not recorded");
      else if (sight.active) log.info({ member: name }, "a member is up again");
      else log.warn({ member: name }, "a member is down: two members agree that they do not reach it");
    } catch (error) {
      log.debug({ member: name, error }, "whether a member is down could not be settled: it is tried again");
    }
  }

  /** While the others were asked it may have come or gone, or this node may have ceased to lead. */
  #holds(raftId: RaftId, sight: Sight): boolean {
    const { membership } = this.#options;
    const isActive = membership.progress().some((peer) => peer.raftId === raftId && peer.active);
    return membership.leads() && this.#sights.get(raftId) === sight && isActive === sight.active;
  }

  /** One that another member reaches is cut off from this node alone. */
  async #isMissed(member: Member): Promise<boolean> {
    const { ask, consensus, log, membership } = this.#options;
    const active = new Set(membership.progress().flatMap((peer) => (peer.active ? [peer.raftId] : [])));
    const witnesses = consensus.catalog
      .members()
      .filter(({ raftId }) => active.has(raftId) && raftId !== membership.self && raftId !== member.raftId);
    const answers = await Promise.all(witnesses.map((witness) => ask(witness, member)));
    const isReached = answers.includes(true);
    if (isReached) log.warn({ member: member.name }, "a member says nothing to the leader, and another one reaches it: it is not down");
    return !isReached && answers.includes(false);
  }
}
