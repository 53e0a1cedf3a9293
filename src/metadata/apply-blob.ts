import type { RaftId } from "../core/peer.ts";
import {
  isHeld,
  makeLink,
  NEW_RECORD,
  readBlob,
  readLinkRow,
  readVisibleLink,
  removeLink,
  renewLink,
  writeBlob,
  writeLinkRow,
} from "./blob-rows.ts";
import type { BlobCommand } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { isMember, isUp, memberCopies, needOf, readDurability, readRoster, targetOf } from "./membership.ts";
import type { ApplyContext } from "./policy.ts";
import { exceedsBytes, isProtected } from "./project-rows.ts";
import type { BlobRecord } from "./records.ts";

// Guards and effects: design.md, "The record of a blob". One function a row.

type Of<T extends BlobCommand["type"]> = Extract<BlobCommand, { type: T }>;

/** Size and root are equal where both are known. */
function contradicts(record: BlobRecord | undefined, sizeBytes: number, root: string | undefined): boolean {
  if (record === undefined) return false;
  return record.sizeBytes !== sizeBytes || (root !== undefined && record.root !== undefined && record.root !== root);
}

function union(first: readonly RaftId[], second: readonly RaftId[]): readonly RaftId[] {
  return [...new Set([...first, ...second])];
}

export function commitBlob(draft: Draft, context: ApplyContext, command: Of<"blob.commit">): Decision {
  const { repository, digest, sizeBytes, root } = command;
  if (context.time > command.deadline) return refuse("deadline", digest);
  const old = readBlob(draft, digest);
  if (contradicts(old, sizeBytes, root)) return refuse("mismatch", digest);
  const roster = readRoster(draft);
  const copies = memberCopies(roster, union(command.copies, old?.state === "live" ? old.copies : []));
  if (copies.length < needOf(roster, readDurability(draft, context.policy))) return refuse("need", digest);
  if (exceedsBytes(draft, repository, digest, sizeBytes)) return refuse("quota", digest);
  const record: BlobRecord = {
    ...(old ?? NEW_RECORD),
    state: "live",
    sizeBytes,
    root,
    copies,
    condemnedAt: 0,
    acknowledged: [],
    adopted: false,
  };
  const lease = context.time + context.policy.leaseMs;
  writeBlob(draft, digest, makeLink(draft, context, repository, digest, record, { lease, source: command.source }));
  return ACCEPTED;
}

/** A source of a proxy: adds its link to a record in any state, and makes one remote where no copy is kept. Exempt from G1 until a `blob.commit`. */
export function linkRemoteBlob(draft: Draft, context: ApplyContext, command: Of<"blob.remote">): Decision {
  const { repository, digest, sizeBytes, source } = command;
  if (!context.policy.allowsRemote(repository)) return refuse("state", digest);
  const old = readBlob(draft, digest);
  if (contradicts(old, sizeBytes, undefined)) return refuse("mismatch", digest);
  const record: BlobRecord = isHeld(old)
    ? old
    : { ...(old ?? NEW_RECORD), state: "remote", sizeBytes, copies: [], condemnedAt: 0, acknowledged: [] };
  writeBlob(draft, digest, makeLink(draft, context, repository, digest, record, { lease: 0, source }));
  return ACCEPTED;
}

export function adoptBlob(draft: Draft, context: ApplyContext, command: Of<"blob.adopt">): Decision {
  const { repository, digest, sizeBytes, root, copy } = command;
  if (!context.policy.allowsAdoption(repository)) return refuse("state", digest);
  const old = readBlob(draft, digest);
  if (old !== undefined && old.state !== "live") return refuse("state", digest);
  if (contradicts(old, sizeBytes, root)) return refuse("mismatch", digest);
  if (!isMember(readRoster(draft), copy)) return refuse("unknown", digest);
  const record: BlobRecord = {
    ...(old ?? { ...NEW_RECORD, sizeBytes, adopted: true }),
    root: old?.root ?? root,
    copies: union(old?.copies ?? [], [copy]),
  };
  const lease = context.time + context.policy.leaseMs;
  writeBlob(draft, digest, makeLink(draft, context, repository, digest, record, { lease, source: undefined }));
  return ACCEPTED;
}

export function mountBlob(draft: Draft, context: ApplyContext, command: Of<"blob.mount">): Decision {
  const { source, target, digest } = command;
  const record = readBlob(draft, digest);
  const from = readVisibleLink(draft, source, digest);
  if (!isHeld(record) || from === undefined) return refuse("unknown", digest);
  const allowsRemote = context.policy.allowsRemote(target);
  if (record.state === "remote" && !allowsRemote) return refuse("unknown", digest);
  if (exceedsBytes(draft, target, digest, record.sizeBytes)) return refuse("quota", digest);
  const lease = context.time + context.policy.leaseMs;
  const wanted = { lease, source: allowsRemote ? from.source : undefined };
  writeBlob(draft, digest, makeLink(draft, context, target, digest, record, wanted));
  return ACCEPTED;
}

/** A client's DELETE. Edges of the trash keep the bytes, so the link is only hidden while there are any. */
export function unlinkBlob(draft: Draft, context: ApplyContext, command: Of<"blob.unlink">): Decision {
  const { repository, digest } = command;
  const link = readVisibleLink(draft, repository, digest);
  if (link === undefined || !isHeld(readBlob(draft, digest))) return refuse("unknown", digest);
  if (link.references > 0) return refuse("referenced", digest);
  if (isProtected(draft, repository)) return refuse("protected", digest);
  if (link.trashed > 0) writeLinkRow(draft, context, repository, digest, { ...readLinkRow(draft, repository, digest), hidden: true });
  else removeLink(draft, context, repository, digest);
  return ACCEPTED;
}

/** Looks again at what a scan found; to renew one that is referenced by now does no harm. */
export function renewLinks(draft: Draft, context: ApplyContext, command: Of<"lease.renewLinks">): Decision {
  for (const digest of command.digests) renewLink(draft, context, command.repository, digest);
  return ACCEPTED;
}

export function addCopy(draft: Draft, context: ApplyContext, command: Of<"copy.add">): Decision {
  const { digest, copy } = command;
  if (context.time > command.deadline) return refuse("deadline", digest);
  const record = readBlob(draft, digest);
  if (record === undefined) return refuse("unknown", digest);
  if (record.state !== "live") return refuse("state", digest);
  const roster = readRoster(draft);
  if (!isMember(roster, copy)) return refuse("unknown", digest);
  const copies = memberCopies(roster, union(record.copies, [copy]));
  const adopted = record.adopted === true && copies.length < needOf(roster, readDurability(draft, context.policy));
  writeBlob(draft, digest, { ...record, copies, adopted });
  return ACCEPTED;
}

/** A bad copy goes in any case: it counts for nothing, and its node heals only after this has applied. */
export function dropCopy(draft: Draft, context: ApplyContext, command: Of<"copy.drop">): Decision {
  const { digest, copy, bad, keepUp = false } = command;
  const record = readBlob(draft, digest);
  if (record === undefined) return refuse("unknown", digest);
  if (record.state !== "live") return refuse("state", digest);
  const roster = readRoster(draft);
  const copies = memberCopies(roster, record.copies);
  if (!copies.includes(copy)) return refuse("unknown", digest);
  const others = copies.filter((id) => id !== copy);
  const counted = keepUp ? others.filter((id) => isUp(roster, id)) : others;
  if (!bad && counted.length < targetOf(roster, readDurability(draft, context.policy))) return refuse("count", digest);
  writeBlob(draft, digest, { ...record, copies: others });
  return ACCEPTED;
}

/** A blob that an upstream can give again: the files go once this has applied. */
export function evictBlob(draft: Draft, command: Of<"cache.evict">): Decision {
  const record = readBlob(draft, command.digest);
  if (record === undefined) return refuse("unknown", command.digest);
  const sourced = record.links > 0 && record.sourcedLinks === record.links;
  if (record.state !== "live" || !sourced) return refuse("state", command.digest);
  writeBlob(draft, command.digest, { ...record, state: "remote", copies: [], adopted: false });
  return ACCEPTED;
}
