import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import { pause } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { MemberFacts } from "../metadata/commands.ts";
import { isUpToDate } from "./self-facts.ts";

const RETRY_MS = 1_000;

export interface Announcement {
  readonly consensus: Consensus;
  readonly facts: MemberFacts;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Tells the cluster in the background what has changed of this node since its last run: its addresses, name, zone. */
export async function announceSelf({ consensus, facts, clock, log, signal }: Announcement): Promise<void> {
  while (!signal.aborted) {
    const member = consensus.catalog.member(consensus.self);
    if (member !== undefined && isUpToDate(member, facts)) return;
    try {
      const outcome = await consensus.propose({ type: "member.update", raftId: consensus.self, member: facts }, { signal });
      if (outcome.refused === undefined)
        log.info(
          { name: facts.name, addresses: facts.addresses, http: facts.http },
          "the cluster was told of this node's new name or addresses",
        );
      else log.error({ refused: outcome.refused }, "the cluster did not take this node's new name or addresses");
      return;
    } catch (error) {
      if (signal.aborted) return;
      log.debug({ error }, "the cluster could not be told of this node's addresses yet: it is tried again");
    }
    await pause(clock, RETRY_MS, signal).catch(() => undefined); // aborted: the loop ends
  }
}
