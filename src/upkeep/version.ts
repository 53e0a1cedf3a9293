import type { Consensus } from "../consensus/consensus.ts";
import type { Membership } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { ClusterRecord, Member } from "../metadata/records.ts";

export interface VersionOptions {
  readonly consensus: Pick<Consensus, "catalog" | "onApplied" | "propose">;
  readonly membership: Pick<Membership, "leads" | "onConfiguration">;
  readonly clock: Clock;
  readonly log: Log;
  /** How often the leader looks again without cause; after a proposal that failed, for one. */
  readonly periodMs?: number;
}

const PERIOD_MS = 30_000;

/**
 * Raises `cluster.version`, while this node leads, as soon as every member that is not down reports that its program can follow (design.md, "Versions"). There
 * is no way back: a member that is down meanwhile and comes back older is refused.
 * @returns ends it
 */
export function keepVersion({ consensus, membership, clock, log, periodMs = PERIOD_MS }: VersionOptions): () => void {
  const { catalog } = consensus;
  let proposing = false;
  let stopped = false;
  const raise = async (version: number): Promise<void> => {
    proposing = true;
    try {
      const { refused } = await consensus.propose({ type: "cluster.raise", version });
      if (refused === undefined) log.info({ version }, "the cluster's version was raised: every member that is not down can follow");
      else log.warn({ version, refused }, "the cluster's version was not raised");
    } catch (error) {
      log.debug({ version, error }, "the cluster's version could not be raised yet: it is tried again");
    } finally {
      proposing = false;
    }
  };
  const look = (): void => {
    if (stopped || proposing || !membership.leads()) return;
    const version = raisableTo(catalog.cluster(), catalog.members());
    if (version !== undefined) void raise(version);
  };
  // in a turn of its own: whoever tells of a change is in the middle of it
  const wake = (): void => queueMicrotask(look);
  const ends = [
    membership.onConfiguration(wake),
    consensus.onApplied(({ command, outcome }) => {
      if (command.type.startsWith("member.") && outcome.refused === undefined) wake();
    }),
    clock.every(periodMs, wake),
  ];
  wake();
  return () => {
    stopped = true;
    for (const end of ends) end();
  };
}

/** The highest version that every member which is not down can follow; undefined where that is no higher than the cluster's. */
export function raisableTo(
  cluster: Pick<ClusterRecord, "version"> | undefined,
  members: readonly Pick<Member, "down" | "versionMax">[],
): number | undefined {
  const able = members.filter((member) => !member.down).map((member) => member.versionMax);
  const highest = Math.min(...able);
  return cluster !== undefined && able.length > 0 && highest > cluster.version ? highest : undefined;
}
