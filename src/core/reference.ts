import { type Digest, parseDigest } from "./digest.ts";

/** A repository name as the distribution-spec 1.1 allows it, at most 255 characters. */
export type RepositoryName = string & { readonly __brand: "RepositoryName" };
/** A tag as the distribution-spec 1.1 allows it. */
export type Tag = string & { readonly __brand: "Tag" };
export type Reference = { readonly tag: Tag; readonly digest?: undefined } | { readonly digest: Digest; readonly tag?: undefined };

const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const NAME_LENGTH_MAX = 255;

/** @see distribution-spec 1.1, "Pulling manifests": `<name>` */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  return text.length <= NAME_LENGTH_MAX && NAME.test(text) ? (text as RepositoryName) : undefined;
}

/** @see distribution-spec 1.1, "Pulling manifests": `<reference>` as a tag */
export function parseTag(text: string): Tag | undefined {
  return TAG.test(text) ? (text as Tag) : undefined;
}

/** A digest where the text holds a colon (no tag may), else a tag. */
export function parseReference(text: string): Reference | undefined {
  if (text.includes(":")) {
    const digest = parseDigest(text);
    return digest === undefined ? undefined : { digest };
  }
  const tag = parseTag(text);
  return tag === undefined ? undefined : { tag };
}

/** The first segment of a repository's name: what owns its members, visibility and rules. */
export function projectOf(repository: RepositoryName): string {
  const slash = repository.indexOf("/");
  return slash < 0 ? repository : repository.slice(0, slash);
}
