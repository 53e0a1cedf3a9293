import type { Applied, Consensus } from "../consensus/consensus.ts";
import type { Membership } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { BlobRecord } from "../metadata/records.ts";

export interface ReclaimOptions {
  readonly consensus: Consensus;
  readonly membership: Pick<Membership, "leads">;
  readonly clock: Clock;
  readonly log: Log;
  readonly periodMs?: number;
}

const PERIOD_MS = 5_000;
const PAGE = 256;
const AT_ONCE = 16;

/** Members that are up and have not said that the file of a condemned record is gone from them. */
export function awaited(catalog: Catalog, record: BlobRecord): readonly string[] {
  return catalog
    .members()
    .filter((member) => !member.down && !record.acknowledged.includes(member.raftId))
    .map(({ name }) => name);
}

/**
 * While this node leads: ends records whose files are gone from every member that is not down; one that was down sweeps its own when it is back. A record that a leader
 * left condemned is found by its successor.
 */
export function startReclaiming(options: ReclaimOptions): { idle(): Promise<void>; stop(): void } {
  const { consensus, membership, clock, log } = options;
  const going = new Set<Promise<void>>();
  let stopped = false;
  let running: Promise<void> | undefined;
  const reclaim = async (digest: Digest): Promise<void> => {
    const record = consensus.catalog.blob(digest);
    if (record?.state !== "condemned" || awaited(consensus.catalog, record).length > 0) return;
    try {
      await consensus.propose({ type: "gc.reclaim", digest, condemnedAt: record.condemnedAt });
    } catch (error) {
      log.debug({ digest, error }, "a condemned record could not be reclaimed yet: it is tried again");
    }
  };
  const look = async (): Promise<void> => {
    for (let after: string | undefined = ""; after !== undefined && !stopped && membership.leads(); ) {
      const page: { readonly found: readonly Digest[]; readonly next: string | undefined } = await consensus.catalog
        .garbage()
        .condemned(after, PAGE);
      after = page.next;
      const left = [...page.found];
      while (left.length > 0) await Promise.all(left.splice(0, AT_ONCE).map(reclaim));
    }
  };
  const wake = (): void => {
    if (stopped || !membership.leads()) return;
    running ??= look()
      .catch((error: unknown) => log.warn({ error }, "condemned records could not be looked through: it is tried again"))
      .finally(() => {
        running = undefined;
      });
  };
  const hear = ({ command, outcome }: Applied): void => {
    if (outcome.refused !== undefined || stopped || !membership.leads()) return;
    const { type } = command;
    if (type === "member.remove" || type === "member.replace" || type === "member.state") wake();
    if (command.type !== "gc.deleted") return;
    const work = Promise.resolve()
      .then(() => reclaim(command.digest))
      .finally(() => going.delete(work));
    going.add(work);
  };
  const stops = [consensus.onApplied(hear), clock.every(options.periodMs ?? PERIOD_MS, wake)];
  return {
    idle: async () => {
      while (running !== undefined || going.size > 0) await Promise.all([running, ...going]);
    },
    stop: () => {
      stopped = true;
      for (const stop of stops) stop();
    },
  };
}
