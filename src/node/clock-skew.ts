import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Member } from "../metadata/records.ts";
import type { Vitals } from "./status-protocol.ts";

/** What a member said, and by how much its clock is ahead of the one here. */
export interface Skewed {
  readonly said: Vitals | undefined;
  readonly skewMs: number | undefined;
}

/** Clocks that differ by more are warned of: no guard of the cluster reads them, tokens and certificates do. */
const SKEW_MAX_MS = 60_000;
const PERIOD_MS = 60_000;

/** Asks, and compares its clock with the middle of the time that this took: it is told as far apart as both ends of that time leave certain. */
export async function skewed(clock: Clock, ask: () => Promise<Vitals | undefined>): Promise<Skewed> {
  const from = clock.wallMs();
  const said = await ask();
  const to = clock.wallMs();
  if (said === undefined) return { said, skewMs: undefined };
  const skewMs = said.wallMs > to ? said.wallMs - to : said.wallMs < from ? said.wallMs - from : 0;
  return { said, skewMs };
}

export function skewWarning(name: string, skewMs: number | undefined): string | undefined {
  if (skewMs === undefined || Math.abs(skewMs) <= SKEW_MAX_MS) return undefined;
  const by =
    Math.abs(skewMs) < 7_200_000 ? `${Math.round(Math.abs(skewMs) / 60_000)} min` : `${Math.round(Math.abs(skewMs) / 3_600_000)} h`;
  return `the clock of ${name} is ${by} ${skewMs > 0 ? "ahead of" : "behind"} that of this node: the cluster does not depend on it, but the lives of tokens and certificates do; let NTP set both`;
}

export interface SkewWatchOptions {
  readonly consensus: Pick<Consensus, "catalog" | "self">;
  readonly ask: (member: Member) => Promise<Vitals | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Logs once of each member whose clock is far from the one here, and again when it is right. @returns ends it */
export function watchSkew({ consensus, ask, clock, log }: SkewWatchOptions): () => void {
  const told = new Set<RaftId>();
  const look = async (member: Member): Promise<void> => {
    const { skewMs } = await skewed(clock, () => ask(member));
    if (skewMs === undefined) return;
    const warning = skewWarning(member.name, skewMs);
    if (warning !== undefined && !told.has(member.raftId)) log.warn({ member: member.name, skewMs }, warning);
    if (warning === undefined && told.has(member.raftId)) log.info({ member: member.name }, "the clock of a member is right again");
    if (warning === undefined) told.delete(member.raftId);
    else told.add(member.raftId);
  };
  return clock.every(PERIOD_MS, () => {
    for (const member of consensus.catalog.members()) if (member.raftId !== consensus.self) void look(member);
  });
}
