import type { Digest } from "../core/digest.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import { isCollectorHeld } from "./apply-collect.ts";
import { isHeld, readBlob, readLinkRow, readVisibleLink, renewLink as renew, writeLinkRow } from "./blob-rows.ts";
import type { BlobCommand, ManifestCommand } from "./commands.ts";
import { ACCEPTED, type Decision, refuse } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { contentKey, manifestKey, orphansKey, repositoryKey, tagKey, trashKey } from "./keys.ts";
import {
  countInRepository,
  distinctEdges,
  edgeId,
  hasReferrers,
  hideReferrer,
  readManifestRow,
  readVisibleManifest,
  setTag,
  shiftEdge,
  showReferrer,
  untag,
} from "./manifest-rows.ts";
import { memberCopies, needOf, readDurability, readRoster } from "./membership.ts";
import type { ApplyContext } from "./policy.ts";
import { exceedsRepositories, isImmutable, isProtected } from "./project-rows.ts";
import type { Edge } from "./records.ts";
import { MANIFEST, type ManifestRow, REPOSITORY, TAG } from "./rows.ts";

type Of<T extends ManifestCommand["type"]> = Extract<ManifestCommand, { type: T }>;

export function putManifest(draft: Draft, context: ApplyContext, command: Of<"manifest.put">): Decision {
  const { repository, digest } = command;
  if (!isExpected(draft, command)) return refuse("precondition", digest);
  const edges = distinctEdges(command.references);
  const lacking = findLacking(draft, context, command, edges);
  if (lacking !== undefined) return lacking;
  const tagRefusal = refusedTag(draft, command);
  if (tagRefusal !== undefined) return tagRefusal;
  const isNew = (draft.read(REPOSITORY, repositoryKey(repository))?.manifests ?? 0) === 0;
  if (isNew && exceedsRepositories(draft, repository)) return refuse("quota", digest);
  const old = readManifestRow(draft, repository, digest);
  const visible = old !== undefined && old.purgeAfter === undefined;
  if (visible) hideReferrer(draft, repository, digest, old);
  if (old?.purgeAfter !== undefined) draft.remove(trashKey(old.purgeAfter, repository, digest));
  replaceEdges(draft, context, repository, old, edges);
  const row: ManifestRow = {
    mediaType: command.mediaType,
    sizeBytes: command.bytes.byteLength,
    references: edges,
    subject: command.subject,
    artifactType: command.artifactType,
    annotations: command.annotations,
    tags: old?.tags ?? [],
    lease: Math.max(old?.lease ?? 0, context.time + context.policy.leaseMs),
    purgeAfter: undefined,
    deletedTags: undefined,
  };
  draft.write(MANIFEST, manifestKey(repository, digest), row);
  if (old === undefined) draft.put(contentKey(repository, digest), command.bytes);
  showReferrer(draft, repository, digest, row);
  if (!visible) {
    countInRepository(draft, repository, 1, 0);
    draft.remove(orphansKey(repository, digest));
  }
  // a re-put may name another media type, which the rows of its tags repeat
  for (const tag of new Set([...row.tags, ...command.tags])) setTag(draft, context, repository, tag, digest);
  return { value: Number(!visible) };
}

/** An immutable tag that names another manifest. */
function refusedTag(draft: Draft, { repository, digest, tags }: Of<"manifest.put">): Decision | undefined {
  const stands = (tag: Tag): boolean => {
    const old = draft.read(TAG, tagKey(repository, tag))?.digest;
    return old !== undefined && old !== digest;
  };
  return tags.some((tag) => stands(tag) && isImmutable(draft, repository, tag)) ? refuse("immutable", digest) : undefined;
}

/** `If-Match` and `If-None-Match`, on each tag, or on the manifest itself where it comes without one. */
function isExpected(draft: Draft, command: Of<"manifest.put">): boolean {
  const { repository, digest, ifMatch, ifNoneMatch, tags } = command;
  if (ifMatch === undefined && ifNoneMatch === undefined) return true;
  const own = readVisibleManifest(draft, repository, digest) === undefined ? undefined : digest;
  const current = tags.length === 0 ? [own] : tags.map((tag) => draft.read(TAG, tagKey(repository, tag))?.digest);
  const isOneOf = (stands: Digest | undefined, list: readonly (Digest | "*")[]): boolean =>
    stands !== undefined && (list.includes("*") || list.includes(stands));
  return current.every(
    (stands) => (ifMatch === undefined || isOneOf(stands, ifMatch)) && (ifNoneMatch === undefined || !isOneOf(stands, ifNoneMatch)),
  );
}

/** A reference that is missing comes before one that is only short of copies: spreading would not help. */
function findLacking(draft: Draft, context: ApplyContext, command: Of<"manifest.put">, edges: readonly Edge[]): Decision | undefined {
  const { repository } = command;
  const roster = readRoster(draft);
  const need = needOf(roster, readDurability(draft, context.policy));
  let short: Digest | undefined;
  for (const { digest, kind } of edges) {
    if (kind === "foreign") continue;
    if (kind === "manifest") {
      if (command.sparse !== true && readVisibleManifest(draft, repository, digest) === undefined) return refuse("missing", digest);
      continue;
    }
    const record = readBlob(draft, digest);
    if (!isHeld(record) || readVisibleLink(draft, repository, digest) === undefined) return refuse("missing", digest);
    if (record.state === "remote") {
      if (!context.policy.allowsRemote(repository)) return refuse("missing", digest);
    } else if (record.adopted !== true && memberCopies(roster, record.copies).length < need) short ??= digest;
  }
  return short === undefined ? undefined : refuse("need", short);
}

/** Counts each edge once: a new one is added, one that stays comes out of the trash with its manifest, one that is gone is taken off. */
function replaceEdges(
  draft: Draft,
  context: ApplyContext,
  repository: RepositoryName,
  old: ManifestRow | undefined,
  edges: readonly Edge[],
): void {
  const before = new Map((old?.references ?? []).map((edge) => [edgeId(edge), edge]));
  const wasTrashed = Number(old?.purgeAfter !== undefined);
  for (const edge of edges) {
    const stays = before.delete(edgeId(edge));
    if (!stays) shiftEdge(draft, context, repository, edge, { references: 1, trashed: 0 });
    else if (wasTrashed === 1) shiftEdge(draft, context, repository, edge, { references: 1, trashed: -1 });
  }
  for (const edge of before.values()) shiftEdge(draft, context, repository, edge, { references: wasTrashed - 1, trashed: -wasTrashed });
}

/** To the trash, with its tags: invisible at once, while its edges go on to keep the bytes. */
export function deleteManifest(draft: Draft, context: ApplyContext, command: Of<"manifest.delete">): Decision {
  const { repository, digest } = command;
  const row = readVisibleManifest(draft, repository, digest);
  if (row === undefined) return refuse("unknown", digest);
  if (isProtected(draft, repository)) return refuse("protected", digest);
  if (row.tags.some((tag) => isImmutable(draft, repository, tag))) return refuse("immutable", digest);
  for (const tag of row.tags) draft.remove(tagKey(repository, tag));
  for (const edge of row.references) shiftEdge(draft, context, repository, edge, { references: -1, trashed: 1 });
  hideReferrer(draft, repository, digest, row);
  countInRepository(draft, repository, -1, -row.tags.length);
  const purgeAfter = context.time + context.policy.trashKeepMs;
  draft.mark(trashKey(purgeAfter, repository, digest));
  draft.write(MANIFEST, manifestKey(repository, digest), { ...row, tags: [], purgeAfter, deletedTags: row.tags });
  return ACCEPTED;
}

/** Out of the trash, with its tags, unless one of them names another manifest by now. A hidden link that it names is shown again. */
export function undeleteManifest(draft: Draft, context: ApplyContext, command: Of<"manifest.undelete">): Decision {
  const { repository, digest } = command;
  const row = readManifestRow(draft, repository, digest);
  if (row?.purgeAfter === undefined) return refuse("unknown", digest);
  const tags: readonly Tag[] = row.deletedTags ?? [];
  if (tags.some((tag) => draft.get(tagKey(repository, tag)) !== undefined)) return refuse("precondition", digest);
  draft.remove(trashKey(row.purgeAfter, repository, digest));
  for (const edge of row.references) {
    shiftEdge(draft, context, repository, edge, { references: 1, trashed: -1 });
    if (edge.kind === "blob") showLink(draft, context, repository, edge.digest);
  }
  const lease = Math.max(row.lease, context.time + context.policy.leaseMs);
  const shown: ManifestRow = { ...row, lease, purgeAfter: undefined, deletedTags: undefined };
  draft.write(MANIFEST, manifestKey(repository, digest), shown);
  showReferrer(draft, repository, digest, shown);
  countInRepository(draft, repository, 1, 0);
  for (const tag of tags) setTag(draft, context, repository, tag, digest);
  return ACCEPTED;
}

function showLink(draft: Draft, context: ApplyContext, repository: RepositoryName, digest: Digest): void {
  const link = readLinkRow(draft, repository, digest);
  if (link.hidden) writeLinkRow(draft, context, repository, digest, { ...link, hidden: false });
}

/** A link that is absent does not refuse it. Referrers of a purged subject follow: the index of orphans names it for the collector. */
export function purgeManifest(draft: Draft, context: ApplyContext, command: Of<"manifest.purge">): Decision {
  const { repository, digest } = command;
  const row = readManifestRow(draft, repository, digest);
  if (row === undefined) return refuse("unknown", digest);
  if (row.purgeAfter === undefined) return refuse("state", digest);
  if (row.purgeAfter > context.time) return refuse("busy", digest);
  if (isCollectorHeld(draft)) return refuse("held", digest);
  for (const edge of row.references) shiftEdge(draft, context, repository, edge, { references: 0, trashed: -1 });
  draft.remove(trashKey(row.purgeAfter, repository, digest));
  draft.remove(manifestKey(repository, digest));
  draft.remove(contentKey(repository, digest));
  if (hasReferrers(draft, repository, digest)) draft.mark(orphansKey(repository, digest));
  return ACCEPTED;
}

/** The tag alone: its manifest stays, as a root. */
export function deleteTag(draft: Draft, context: ApplyContext, command: Of<"tag.delete">): Decision {
  const { repository, tag } = command;
  const old = draft.read(TAG, tagKey(repository, tag));
  if (old === undefined) return refuse("unknown");
  if (isProtected(draft, repository)) return refuse("protected", old.digest);
  if (isImmutable(draft, repository, tag)) return refuse("immutable", old.digest);
  draft.remove(tagKey(repository, tag));
  untag(draft, context, repository, tag, old.digest);
  countInRepository(draft, repository, 0, -1);
  return ACCEPTED;
}

/** Of the link, of the manifest, or of both where a digest is both. */
export function renewLease(draft: Draft, context: ApplyContext, command: Extract<BlobCommand, { type: "lease.renew" }>): Decision {
  const { repository, digest } = command;
  const linked = renew(draft, context, repository, digest);
  const row = readVisibleManifest(draft, repository, digest);
  if (row === undefined) return linked ? ACCEPTED : refuse("unknown", digest);
  const lease = Math.max(row.lease, context.time + context.policy.leaseMs);
  draft.write(MANIFEST, manifestKey(repository, digest), { ...row, lease });
  return ACCEPTED;
}
