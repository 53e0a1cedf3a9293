import { isHeld, isIdle, readBlob, readLinkRow, removeLink, writeBlob } from "./blob-rows.ts";
import type { CollectCommand } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { COLLECTOR_KEY } from "./keys.ts";
import { readRoster } from "./membership.ts";
import type { ApplyContext } from "./policy.ts";
import type { CollectorRecord } from "./records.ts";
import { COLLECTOR } from "./rows.ts";

type Of<T extends CollectCommand["type"]> = Extract<CollectCommand, { type: T }>;

/** Runs that are remembered. */
const RUNS_KEPT = 20;
const NO_RUNS: CollectorRecord = { held: undefined, runs: [] };

export function isCollectorHeld(draft: Draft): boolean {
  return draft.read(COLLECTOR, COLLECTOR_KEY)?.held !== undefined;
}

export function holdCollector(draft: Draft, context: ApplyContext, command: Of<"gc.hold">): Decision {
  const old = draft.read(COLLECTOR, COLLECTOR_KEY) ?? NO_RUNS;
  const held = command.held ? { since: old.held?.since ?? context.time, reason: command.reason } : undefined;
  draft.write(COLLECTOR, COLLECTOR_KEY, { ...old, held });
  return ACCEPTED;
}

export function noteRun(draft: Draft, { run }: Of<"gc.ran">): Decision {
  const old = draft.read(COLLECTOR, COLLECTOR_KEY) ?? NO_RUNS;
  draft.write(COLLECTOR, COLLECTOR_KEY, { ...old, runs: [run, ...old.runs].slice(0, RUNS_KEPT) });
  return ACCEPTED;
}

/** Looks again at what a scan found: whatever came between the scan and this entry counts (G5). */
export function expireLink(draft: Draft, context: ApplyContext, command: Of<"gc.unlink">): Decision {
  const { repository, digest } = command;
  if (isCollectorHeld(draft)) return refuse("held", digest);
  const link = readLinkRow(draft, repository, digest);
  if (!link.present) return refuse("unknown", digest);
  if (!isIdle(link, context)) return refuse("busy", digest);
  removeLink(draft, context, repository, digest);
  return ACCEPTED;
}

export function condemnBlob(draft: Draft, context: ApplyContext, command: Of<"gc.condemn">): Decision {
  if (isCollectorHeld(draft)) return refuse("held", command.digest);
  const record = readBlob(draft, command.digest);
  if (!isHeld(record)) return refuse(record === undefined ? "unknown" : "state", command.digest);
  if (record.links > 0) return refuse("busy", command.digest);
  writeBlob(draft, command.digest, {
    ...record,
    state: "condemned",
    copies: [],
    condemnedAt: context.index,
    acknowledged: [],
    adopted: false,
  });
  return ACCEPTED;
}

export function acknowledgeDeletion(draft: Draft, command: Of<"gc.deleted">): Decision {
  const { digest, copy, condemnedAt } = command;
  const record = readBlob(draft, digest);
  if (record?.state !== "condemned" || record.condemnedAt !== condemnedAt) return refuse("stale", digest);
  if (!record.acknowledged.includes(copy)) writeBlob(draft, digest, { ...record, acknowledged: [...record.acknowledged, copy] });
  return ACCEPTED;
}

/** A member that is down keeps no record waiting: a file without a record is swept when it starts. */
export function reclaimBlob(draft: Draft, command: Of<"gc.reclaim">): Decision {
  const { digest, condemnedAt } = command;
  if (isCollectorHeld(draft)) return refuse("held", digest);
  const record = readBlob(draft, digest);
  if (record?.state !== "condemned" || record.condemnedAt !== condemnedAt) return refuse("stale", digest);
  const waiting = readRoster(draft).seats.some((seat) => !seat.down && !record.acknowledged.includes(seat.id));
  if (waiting) return refuse("busy", digest);
  writeBlob(draft, digest, undefined);
  return ACCEPTED;
}
