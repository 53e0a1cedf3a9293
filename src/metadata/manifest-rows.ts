import type { Digest } from "../core/digest.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import { readLinkRow, writeLinkRow } from "./blob-rows.ts";
import type { Draft } from "./draft.ts";
import { childKey, manifestKey, orphansKey, referrerKey, repositoryKey, tagKey } from "./keys.ts";
import type { ApplyContext } from "./policy.ts";
import { countRepository } from "./project-rows.ts";
import type { Edge } from "./records.ts";
import { CHILD, type Child, MANIFEST, type ManifestRow, REFERRER, REPOSITORY, TAG } from "./rows.ts";

/** How many edges to add to each counter of a digest. */
export interface Shift {
  readonly references: number;
  readonly trashed: number;
}

const NO_CHILD: Child = { references: 0, trashed: 0, referrers: 0 };

export function readManifestRow(draft: Draft, repository: RepositoryName, digest: Digest): ManifestRow | undefined {
  return draft.read(MANIFEST, manifestKey(repository, digest));
}

/** Undefined for one in the trash. */
export function readVisibleManifest(draft: Draft, repository: RepositoryName, digest: Digest): ManifestRow | undefined {
  const row = readManifestRow(draft, repository, digest);
  return row?.purgeAfter === undefined ? row : undefined;
}

/** Blobs and manifests of one digest are counted apart. */
export function edgeId(edge: Edge): string {
  return `${edge.kind === "manifest" ? "manifest" : "blob"} ${edge.digest}`;
}

/** One edge for each distinct digest; where it is named as foreign and as a blob, it must be there. */
export function distinctEdges(references: readonly Edge[]): readonly Edge[] {
  const edges = new Map<string, Edge>();
  for (const { digest, kind } of references) {
    const id = edgeId({ digest, kind });
    if (!edges.has(id) || kind === "blob") edges.set(id, { digest, kind });
  }
  return [...edges.values()];
}

export function shiftEdge(draft: Draft, context: ApplyContext, repository: RepositoryName, edge: Edge, shift: Shift): void {
  if (edge.kind === "manifest") shiftChild(draft, repository, edge.digest, { ...shift, referrers: 0 });
  else shiftLink(draft, context, repository, edge.digest, shift);
}

function shiftLink(draft: Draft, context: ApplyContext, repository: RepositoryName, digest: Digest, shift: Shift): void {
  const link = readLinkRow(draft, repository, digest);
  const references = link.references + shift.references;
  const trashed = link.trashed + shift.trashed;
  const freed = link.present && references + trashed === 0;
  writeLinkRow(draft, context, repository, digest, {
    ...link,
    references,
    trashed,
    zeroSince: freed ? context.time : link.zeroSince,
    lease: freed ? Math.max(link.lease, context.time + context.policy.leaseMs) : link.lease,
  });
}

function shiftChild(draft: Draft, repository: RepositoryName, digest: Digest, shift: Child): void {
  const key = childKey(repository, digest);
  const old = draft.read(CHILD, key) ?? NO_CHILD;
  const references = old.references + shift.references;
  const trashed = old.trashed + shift.trashed;
  const referrers = old.referrers + shift.referrers;
  if (references === 0 && trashed === 0 && referrers === 0) draft.remove(key);
  else draft.write(CHILD, key, { references, trashed, referrers });
  if (old.referrers > 0 && referrers === 0) draft.remove(orphansKey(repository, digest));
}

export function hasReferrers(draft: Draft, repository: RepositoryName, digest: Digest): boolean {
  return (draft.read(CHILD, childKey(repository, digest))?.referrers ?? 0) > 0;
}

/** The subject may be absent: a later put of it finds its referrers there. */
export function showReferrer(draft: Draft, repository: RepositoryName, digest: Digest, row: ManifestRow): void {
  if (row.subject === undefined) return;
  const { mediaType, sizeBytes, artifactType, annotations } = row;
  draft.write(REFERRER, referrerKey(repository, row.subject, digest), { mediaType, sizeBytes, artifactType, annotations });
  shiftChild(draft, repository, row.subject, { references: 0, trashed: 0, referrers: 1 });
}

export function hideReferrer(draft: Draft, repository: RepositoryName, digest: Digest, row: ManifestRow): void {
  if (row.subject === undefined) return;
  draft.remove(referrerKey(repository, row.subject, digest));
  shiftChild(draft, repository, row.subject, { references: 0, trashed: 0, referrers: -1 });
}

/** The record stays when its counters fall to zero: a repository that was emptied lists no tags, and is not unknown. */
export function countInRepository(draft: Draft, repository: RepositoryName, manifests: number, tags: number): void {
  const old = draft.read(REPOSITORY, repositoryKey(repository)) ?? { name: repository, manifests: 0, tags: 0 };
  const isThere = old.manifests + manifests > 0;
  if (isThere !== old.manifests > 0) countRepository(draft, repository, isThere ? 1 : -1);
  draft.write(REPOSITORY, repositoryKey(repository), { name: repository, manifests: old.manifests + manifests, tags: old.tags + tags });
}

/** Points the tag at a manifest whose row is written already; the one that it named before is left untagged, with a lease. */
export function setTag(draft: Draft, context: ApplyContext, repository: RepositoryName, tag: Tag, digest: Digest): void {
  const old = draft.read(TAG, tagKey(repository, tag));
  if (old !== undefined && old.digest !== digest) untag(draft, context, repository, tag, old.digest);
  const row = readManifestRow(draft, repository, digest);
  if (row === undefined) return;
  draft.write(TAG, tagKey(repository, tag), { digest, mediaType: row.mediaType, sizeBytes: row.sizeBytes });
  if (!row.tags.includes(tag)) draft.write(MANIFEST, manifestKey(repository, digest), { ...row, tags: [...row.tags, tag] });
  if (old === undefined) countInRepository(draft, repository, 0, 1);
}

/** Takes the tag off the manifest's list. */
export function untag(draft: Draft, context: ApplyContext, repository: RepositoryName, tag: Tag, digest: Digest): void {
  const row = readManifestRow(draft, repository, digest);
  if (row === undefined) return;
  const tags = row.tags.filter((one) => one !== tag);
  const lease = tags.length === 0 ? Math.max(row.lease, context.time + context.policy.leaseMs) : row.lease;
  draft.write(MANIFEST, manifestKey(repository, digest), { ...row, tags, lease });
}
