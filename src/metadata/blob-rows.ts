import type { Digest } from "../core/digest.ts";
import type { RaftId } from "../core/peer.ts";
import type { RepositoryName } from "../core/reference.ts";
import type { Draft } from "./draft.ts";
import { blobKey, condemnedKey, holderKey, idleKey, leaseKey, linkedKey, linkKey, unlinkedKey, usageKey, widthKey } from "./keys.ts";
import type { ApplyContext } from "./policy.ts";
import { countShare } from "./project-rows.ts";
import type { BlobRecord, CatalogTime, Link } from "./records.ts";
import { BLOB, LINK, type LinkRow, USAGE, type Usage } from "./rows.ts";

// The only writers of blob records and links: they keep the indexes and counters in step.

export const NEW_RECORD: BlobRecord = {
  state: "live",
  sizeBytes: 0,
  root: undefined,
  copies: [],
  condemnedAt: 0,
  acknowledged: [],
  links: 0,
  sourcedLinks: 0,
};

const ABSENT_LINK: LinkRow = {
  present: false,
  references: 0,
  trashed: 0,
  lease: 0,
  zeroSince: 0,
  source: undefined,
  hidden: false,
  due: undefined,
};

export function readBlob(draft: Draft, digest: Digest): BlobRecord | undefined {
  return draft.read(BLOB, blobKey(digest));
}

/** What lies under the link's key: the link, or the edges that a later one starts with. */
export function readLinkRow(draft: Draft, repository: RepositoryName, digest: Digest): LinkRow {
  return draft.read(LINK, linkKey(repository, digest)) ?? ABSENT_LINK;
}

/** Undefined for an absent or hidden one. */
export function readVisibleLink(draft: Draft, repository: RepositoryName, digest: Digest): LinkRow | undefined {
  const link = readLinkRow(draft, repository, digest);
  return isVisible(link) ? link : undefined;
}

export function isHeld(record: BlobRecord | undefined): record is BlobRecord {
  return record?.state === "live" || record?.state === "remote";
}

export function writeBlob(draft: Draft, digest: Digest, next: BlobRecord | undefined): void {
  const old = readBlob(draft, digest);
  if (next === undefined) draft.remove(blobKey(digest));
  else draft.write(BLOB, blobKey(digest), next);
  moveCopies(draft, digest, liveCopies(old), liveCopies(next), { old: old?.sizeBytes ?? 0, next: next?.sizeBytes ?? 0 });
  moveMark(draft, unlinkedKey(digest), isHeld(old) && old.links === 0, isHeld(next) && next.links === 0);
  moveMark(draft, condemnedKey(digest), old?.state === "condemned", next?.state === "condemned");
}

function liveCopies(record: BlobRecord | undefined): readonly RaftId[] | undefined {
  return record?.state === "live" ? record.copies : undefined;
}

function moveMark(draft: Draft, key: string, was: boolean, is: boolean): void {
  if (was && !is) draft.remove(key);
  if (is && !was) draft.mark(key);
}

function moveCopies(
  draft: Draft,
  digest: Digest,
  old: readonly RaftId[] | undefined,
  next: readonly RaftId[] | undefined,
  size: { readonly old: number; readonly next: number },
): void {
  if (old?.length !== next?.length) {
    if (old !== undefined) draft.remove(widthKey(old.length, digest));
    if (next !== undefined) draft.mark(widthKey(next.length, digest));
  }
  const oldSole = old?.length === 1 ? old[0] : undefined;
  const nextSole = next?.length === 1 ? next[0] : undefined;
  for (const id of new Set([...(old ?? []), ...(next ?? [])])) {
    const was = old?.includes(id) === true;
    const is = next?.includes(id) === true;
    moveMark(draft, holderKey(id, digest), was, is);
    const copies = Number(is) - Number(was);
    const sole = Number(id === nextSole) - Number(id === oldSole);
    const sizeBytes = (is ? size.next : 0) - (was ? size.old : 0);
    if (copies !== 0 || sole !== 0 || sizeBytes !== 0) addUsage(draft, id, { copies, sole, sizeBytes });
  }
}

function addUsage(draft: Draft, id: RaftId, more: Usage): void {
  const usage = draft.read(USAGE, usageKey(id)) ?? { copies: 0, sole: 0, sizeBytes: 0 };
  const next = {
    copies: usage.copies + more.copies,
    sole: usage.sole + more.sole,
    sizeBytes: usage.sizeBytes + more.sizeBytes,
  };
  if (next.copies === 0) draft.remove(usageKey(id));
  else draft.write(USAGE, usageKey(id), next);
}

/** Writes the row with its places among the idle links and the leases; the record's counters are the caller's. */
export function writeLinkRow(
  draft: Draft,
  context: ApplyContext,
  repository: RepositoryName,
  digest: Digest,
  next: Omit<LinkRow, "due">,
): void {
  const key = linkKey(repository, digest);
  const { due: oldDue, ...old } = readLinkRow(draft, repository, digest);
  const due = next.present && isUnreferenced(next) ? Math.max(next.lease + 1, next.zeroSince + context.policy.graceMs) : undefined;
  if (oldDue !== undefined && oldDue !== due) draft.remove(idleKey(oldDue, repository, digest));
  if (due !== undefined && oldDue !== due) draft.mark(idleKey(due, repository, digest));
  moveMark(draft, linkedKey(digest, repository), isVisible(old), isVisible(next));
  moveLease(draft, repository, digest, old, next);
  if (next.present || !isUnreferenced(next)) draft.write(LINK, key, { ...next, due });
  else draft.remove(key);
}

function moveLease(draft: Draft, repository: RepositoryName, digest: Digest, old: Omit<LinkRow, "due">, next: Omit<LinkRow, "due">): void {
  const was = isVisible(old) && isUnreferenced(old);
  const is = isVisible(next) && isUnreferenced(next);
  if (was && is && old.lease === next.lease) return;
  if (was) draft.remove(leaseKey(repository, old.lease, digest));
  if (is) draft.mark(leaseKey(repository, next.lease, digest));
}

function isVisible(link: Pick<LinkRow, "present" | "hidden">): boolean {
  return link.present && !link.hidden;
}

export function isUnreferenced(link: Link): boolean {
  return link.references + link.trashed === 0;
}

/** gc.unlink: no reference, lease < T, zeroSince + grace <= T. */
export function isIdle(link: Link, context: ApplyContext): boolean {
  return isUnreferenced(link) && link.lease < context.time && link.zeroSince + context.policy.graceMs <= context.time;
}

/**
 * Makes the link, or keeps it and shows it again: an existing one keeps its references, its lease only grows, and its source goes with the first push.
 * A new one starts with zeroSince = T and the edges that already name the digest. `record` must be what the caller writes next.
 * @returns the record with its counters of links
 */
export function makeLink(
  draft: Draft,
  context: ApplyContext,
  repository: RepositoryName,
  digest: Digest,
  record: BlobRecord,
  wanted: { readonly lease: CatalogTime; readonly source: string | undefined },
): BlobRecord {
  const old = readLinkRow(draft, repository, digest);
  const source =
    old.present && old.source === undefined ? undefined : wanted.source === undefined ? undefined : (old.source ?? wanted.source);
  writeLinkRow(draft, context, repository, digest, {
    ...old,
    present: true,
    hidden: false,
    lease: Math.max(old.lease, wanted.lease),
    zeroSince: old.present ? old.zeroSince : context.time,
    source,
  });
  if (!old.present) countShare(draft, repository, digest, record.sizeBytes, 1);
  const wasSourced = old.present && old.source !== undefined;
  return countLink(record, Number(!old.present), Number(source !== undefined) - Number(wasSourced));
}

/** Takes away a link that has no edge. */
export function removeLink(draft: Draft, context: ApplyContext, repository: RepositoryName, digest: Digest): void {
  const link = readLinkRow(draft, repository, digest);
  writeLinkRow(draft, context, repository, digest, ABSENT_LINK);
  const record = readBlob(draft, digest);
  if (link.present) countShare(draft, repository, digest, record?.sizeBytes ?? 0, -1);
  if (record !== undefined) writeBlob(draft, digest, countLink(record, -1, link.source === undefined ? 0 : -1));
}

function countLink(record: BlobRecord, links: number, sourced: number): BlobRecord {
  return { ...record, links: record.links + links, sourcedLinks: (record.sourcedLinks ?? 0) + sourced };
}

/** @returns whether there is a link whose lease was renewed */
export function renewLink(draft: Draft, context: ApplyContext, repository: RepositoryName, digest: Digest): boolean {
  const link = readVisibleLink(draft, repository, digest);
  if (link === undefined || !isHeld(readBlob(draft, digest))) return false;
  writeLinkRow(draft, context, repository, digest, { ...link, lease: Math.max(link.lease, context.time + context.policy.leaseMs) });
  return true;
}
