import type { Digest } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { readRow } from "./draft.ts";
import {
  AUDIT_TRAIL_KEY,
  auditKey,
  manifestPrefix,
  PROJECT_PREFIX,
  PROJECT_USAGE_PREFIX,
  projectKey,
  projectUsageKey,
  queuedTokenKey,
  TOKENS_KEY,
  tokenKey,
} from "./keys.ts";
import { NO_RULES, NO_USAGE } from "./project-rows.ts";
import type { AuditRecord, JoinTokenRecord, ProjectRecord, TrashedManifest } from "./records.ts";
import { AUDIT, AUDIT_TRAIL, MANIFEST, type ManifestRow, PROJECT, PROJECT_USAGE, QUEUED_TOKEN, TOKEN, TOKENS } from "./rows.ts";
import type { CatalogStore } from "./view.ts";

// Lists that are seldom asked for: nothing of them is kept decoded.

/** @see Catalog.auditTrail */
export function listAudit(store: CatalogStore, limit: number): readonly AuditRecord[] {
  const { first, next } = readRow(store, AUDIT_TRAIL, AUDIT_TRAIL_KEY) ?? { first: 0, next: 0 };
  const numbers = Array.from({ length: Math.min(limit, next - first) }, (_, at) => next - 1 - at);
  return numbers.flatMap((number) => {
    const record = readRow(store, AUDIT, auditKey(number));
    return record === undefined ? [] : { ...record, number };
  });
}

/** @see Catalog.joinTokens */
export function listTokens(store: CatalogStore): readonly JoinTokenRecord[] {
  const { first, next } = readRow(store, TOKENS, TOKENS_KEY) ?? { first: 0, next: 0 };
  return Array.from({ length: next - first }, (_, at) => readRow(store, QUEUED_TOKEN, queuedTokenKey(first + at))).flatMap((queued) =>
    queued === undefined ? [] : (readRow(store, TOKEN, tokenKey(queued.id)) ?? []),
  );
}

/** @see Catalog.project */
export function readProject(store: CatalogStore, project: string): ProjectRecord {
  const rules = readRow(store, PROJECT, projectKey(project)) ?? NO_RULES;
  return { project, rules, usage: readRow(store, PROJECT_USAGE, projectUsageKey(project)) ?? NO_USAGE };
}

/** @see Catalog.projects */
export async function listProjects(store: CatalogStore, after: string, limit: number): Promise<readonly ProjectRecord[]> {
  const names = await Promise.all(
    [PROJECT_PREFIX, PROJECT_USAGE_PREFIX].map(async (prefix) =>
      (await store.scan(prefix, after, limit)).map(([key]) => key.slice(prefix.length)),
    ),
  );
  const sorted = [...new Set(names.flat())].sort().slice(0, limit);
  return sorted.map((project) => readProject(store, project));
}

/** @see Catalog.trash */
export function listTrash(
  store: CatalogStore,
  repository: RepositoryName,
  after: string,
  limit: number,
): Promise<readonly TrashedManifest[]> {
  return pickManifests(store, repository, after, limit, (digest, { mediaType, sizeBytes, deletedTags, purgeAfter }) =>
    purgeAfter === undefined ? undefined : { digest, mediaType, sizeBytes, tags: deletedTags ?? [], purgeAfter },
  );
}

/** @see Catalog.manifests */
export function listManifests(store: CatalogStore, repository: RepositoryName, after: string, limit: number): Promise<readonly Digest[]> {
  return pickManifests(store, repository, after, limit, (digest, { purgeAfter }) => (purgeAfter === undefined ? digest : undefined));
}

async function pickManifests<T>(
  store: CatalogStore,
  repository: RepositoryName,
  after: string,
  limit: number,
  pick: (digest: Digest, row: ManifestRow) => T | undefined,
): Promise<readonly T[]> {
  const prefix = manifestPrefix(repository);
  const found: T[] = [];
  for (let from = after; ; ) {
    const rows = await store.scan(prefix, from, limit);
    for (const [key, value] of rows) {
      const one = pick(key.slice(prefix.length) as Digest, MANIFEST.decode(value));
      if (one !== undefined && found.push(one) === limit) return found;
    }
    const last = rows.at(-1)?.[0];
    if (last === undefined || rows.length < limit) return found;
    from = last.slice(prefix.length);
  }
}
