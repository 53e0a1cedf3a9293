import type { RepositoryName, Tag } from "../core/reference.ts";
import type { Context } from "./context.ts";
import { absence } from "./freshness.ts";
import { unknownError } from "./outcomes.ts";
import type { Page, Read } from "./registry.ts";

export interface PageRequest {
  readonly after: string;
  readonly limit: number;
}

export async function listTags(
  { consensus }: Context,
  repository: RepositoryName,
  { after, limit }: PageRequest,
  signal: AbortSignal,
): Promise<Read<Page<Tag>>> {
  const freshness = await consensus.barrier(signal);
  if (consensus.catalog.repository(repository) === undefined) {
    throw absence(freshness, () => unknownError("NAME_UNKNOWN", { repository }));
  }
  return { value: pageOf(await consensus.catalog.tags(repository, after, limit + 1), limit, (tag) => tag), freshness };
}

export async function listRepositories(
  { consensus }: Context,
  { after, limit }: PageRequest,
  signal: AbortSignal,
): Promise<Read<Page<RepositoryName>>> {
  const freshness = await consensus.barrier(signal);
  return { value: pageOf(await consensus.catalog.repositories(after, limit + 1), limit, (name) => name), freshness };
}

/** @param found one more than the page holds, where there is more */
export function pageOf<T>(found: readonly T[], limit: number, keyOf: (item: T) => string): Page<T> {
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, next: found.length > limit && last !== undefined ? keyOf(last) : undefined };
}
