import type { Digest } from "../core/digest.ts";
import { projectOf, type RepositoryName, type Tag } from "../core/reference.ts";
import type { Draft } from "./draft.ts";
import { matchesGlob } from "./glob.ts";
import { projectKey, projectUsageKey, shareKey } from "./keys.ts";
import type { ProjectRules, ProjectUsage } from "./records.ts";
import { PROJECT, PROJECT_USAGE, SHARE } from "./rows.ts";

// What a project allows, and what it uses: a blob counts once in a project, however many of its repositories link it.

export const NO_RULES: ProjectRules = { immutableTags: [], protectedRepositories: [], quota: {} };
export const NO_USAGE: ProjectUsage = { sizeBytes: 0, blobs: 0, repositories: 0 };

function rulesOf(draft: Draft, repository: RepositoryName): ProjectRules {
  return draft.read(PROJECT, projectKey(projectOf(repository))) ?? NO_RULES;
}

function usageOf(draft: Draft, project: string): ProjectUsage {
  return draft.read(PROJECT_USAGE, projectUsageKey(project)) ?? NO_USAGE;
}

function addUsage(draft: Draft, project: string, more: Partial<ProjectUsage>): void {
  const { sizeBytes, blobs, repositories } = usageOf(draft, project);
  draft.write(PROJECT_USAGE, projectUsageKey(project), {
    sizeBytes: sizeBytes + (more.sizeBytes ?? 0),
    blobs: blobs + (more.blobs ?? 0),
    repositories: repositories + (more.repositories ?? 0),
  });
}

/** A link of the repository came (1) or went (-1). */
export function countShare(draft: Draft, repository: RepositoryName, digest: Digest, sizeBytes: number, change: 1 | -1): void {
  const project = projectOf(repository);
  const key = shareKey(project, digest);
  const links = draft.read(SHARE, key)?.links ?? 0;
  const next = links + change;
  if (next > 0) draft.write(SHARE, key, { links: next });
  else draft.remove(key);
  if (links === 0) addUsage(draft, project, { sizeBytes, blobs: 1 });
  else if (next === 0) addUsage(draft, project, { sizeBytes: -sizeBytes, blobs: -1 });
}

/** A repository got its first manifest (1) or lost its last (-1). */
export function countRepository(draft: Draft, repository: RepositoryName, change: 1 | -1): void {
  addUsage(draft, projectOf(repository), { repositories: change });
}

/** Whether a link to a blob of that size would take the project beyond its quota; one that it has already costs nothing. */
export function exceedsBytes(draft: Draft, repository: RepositoryName, digest: Digest, sizeBytes: number): boolean {
  const { bytes } = rulesOf(draft, repository).quota;
  if (bytes === undefined) return false;
  const project = projectOf(repository);
  return draft.get(shareKey(project, digest)) === undefined && usageOf(draft, project).sizeBytes + sizeBytes > bytes;
}

/** Whether one more repository would. */
export function exceedsRepositories(draft: Draft, repository: RepositoryName): boolean {
  const { repositories } = rulesOf(draft, repository).quota;
  return repositories !== undefined && usageOf(draft, projectOf(repository)).repositories >= repositories;
}

export function isImmutable(draft: Draft, repository: RepositoryName, tag: Tag): boolean {
  return rulesOf(draft, repository).immutableTags.some((pattern) => matchesGlob(pattern, tag));
}

/** Whether nothing may be deleted in the repository. */
export function isProtected(draft: Draft, repository: RepositoryName): boolean {
  return rulesOf(draft, repository).protectedRepositories.some((pattern) => matchesGlob(pattern, repository));
}
