import { isHeld, isIdle, readBlob, readLinkRow, removeLink, writeBlob } from "./blob-rows.ts";
import type { CollectCommand } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { readRoster } from "./membership.ts";
import type { ApplyContext } from "./policy.ts";

type Of<T extends CollectCommand["type"]> = Extract<CollectCommand, { type: T }>;

/** Looks again at what a scan found: whatever came between the scan and this entry counts (G5). */
export function expireLink(draft: Draft, context: ApplyContext, command: Of<"gc.unlink">): Decision {
  const { repository, digest } = command;
  const link = readLinkRow(draft, repository, digest);
  if (!link.present) return refuse("unknown", digest);
  if (!isIdle(link, context)) return refuse("busy", digest);
  removeLink(draft, context, repository, digest);
  return ACCEPTED;
}

export function condemnBlob(draft: Draft, context: ApplyContext, command: Of<"gc.condemn">): Decision {
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
  const record = readBlob(draft, digest);
  if (record?.state !== "condemned" || record.condemnedAt !== condemnedAt) return refuse("stale", digest);
  const waiting = readRoster(draft).seats.some((seat) => !seat.down && !record.acknowledged.includes(seat.id));
  if (waiting) return refuse("busy", digest);
  writeBlob(draft, digest, undefined);
  return ACCEPTED;
}
