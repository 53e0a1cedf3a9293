import { type Digest, parseDigest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";

const ENTITY_TAG = /(W\/)?"([^"]*)"/g;

/**
 * The entity tags of an If-Match or If-None-Match (RFC 9110 section 13.1) that could be one of ours: a digest in quotes. Bare
 * digests are taken too.
 * @param strong leaves weak tags out, as If-Match asks
 */
function parseTags(header: string, strong: boolean): (Digest | "*")[] {
  const bare = header.trim();
  if (bare === "*") return ["*"];
  const unquoted = parseDigest(bare);
  if (unquoted !== undefined) return [unquoted];
  const tags: Digest[] = [];
  for (const [, weak, value] of header.matchAll(ENTITY_TAG)) {
    const digest = weak !== undefined && strong ? undefined : parseDigest(value ?? "");
    if (digest !== undefined) tags.push(digest);
  }
  return tags;
}

/** @throws PRECONDITION_FAILED where no tag in it could ever match */
export function parseIfMatch(header: string | undefined): readonly (Digest | "*")[] | undefined {
  if (header === undefined) return undefined;
  const tags = parseTags(header, true);
  if (tags.length === 0) throw new OciError("PRECONDITION_FAILED", "If-Match names no entity tag of this registry");
  return tags;
}

/** Undefined where the header is absent or names nothing that could match: the condition then holds. */
export function parseIfNoneMatch(header: string | undefined): readonly (Digest | "*")[] | undefined {
  if (header === undefined) return undefined;
  const tags = parseTags(header, false);
  return tags.length === 0 ? undefined : tags;
}

/** Whether a GET or HEAD is answered by 304 (RFC 9110 section 13.1.2, weak comparison). */
export function notModified(header: string | undefined, digest: Digest): boolean {
  if (header === undefined) return false;
  return parseTags(header, false).some((tag) => tag === "*" || tag === digest);
}
