import { algorithmOf, type Digest, hexOf } from "../core/digest.ts";
import { parseTag, type RepositoryName } from "../core/reference.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Referrer } from "../metadata/records.ts";
import type { Context } from "./context.ts";
import { type PageRequest, pageOf } from "./listings.ts";
import { parseFallbackIndex } from "./manifest.ts";
import type { Page, Read } from "./registry.ts";

const ROWS = 256;

/** Sorted by digest; filtered before it is cut into pages. Never unknown (distribution-spec 1.1, "Listing Referrers"; http-rules 13). */
export async function listReferrers(
  { consensus }: Context,
  repository: RepositoryName,
  subject: Digest,
  page: PageRequest & { readonly artifactType: string | undefined },
  signal: AbortSignal,
): Promise<Read<Page<Referrer>>> {
  const freshness = await consensus.barrier(signal);
  const { after, limit, artifactType } = page;
  const wanted = (one: Referrer): boolean => artifactType === undefined || one.artifactType === artifactType;
  const folded = foldedIn(consensus.catalog, repository, subject, after).filter(wanted);
  const own: Referrer[] = [];
  for (let from = after; own.length <= limit; ) {
    const rows = await consensus.catalog.referrers(repository, subject, from, ROWS);
    own.push(...rows.filter(wanted));
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS) break;
    from = last.digest;
  }
  const merged = folded.length === 0 ? own : [...own, ...folded].sort((a, b) => (a.digest < b.digest ? -1 : 1));
  return { value: pageOf(merged, limit, (one) => one.digest), freshness };
}

/** What clients before the referrers API listed under a tag, as far as it is there and names no subject of its own (then it is a row). */
function foldedIn(catalog: Catalog, repository: RepositoryName, subject: Digest, after: string): readonly Referrer[] {
  // each part is cut as the spec says: 32 and 64 characters
  const tag = parseTag(`${algorithmOf(subject).slice(0, 32)}-${hexOf(subject).slice(0, 64)}`);
  const target = tag === undefined ? undefined : catalog.tag(repository, tag);
  const index = target === undefined ? undefined : catalog.manifest(repository, target.digest);
  if (index === undefined) return [];
  const found = new Map<Digest, Referrer>();
  for (const { digest, artifactType, annotations } of parseFallbackIndex(index.mediaType, index.bytes)) {
    const record = digest > after ? catalog.manifest(repository, digest) : undefined;
    if (record === undefined || record.subject === subject || found.has(digest)) continue;
    found.set(digest, {
      digest,
      mediaType: record.mediaType,
      sizeBytes: record.bytes.byteLength,
      artifactType: artifactType ?? record.artifactType,
      annotations: annotations ?? record.annotations,
    });
  }
  return [...found.values()];
}
