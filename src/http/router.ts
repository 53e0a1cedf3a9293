import { type Digest, parseDigest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { parseReference, parseRepositoryName, type Reference, type RepositoryName } from "../core/reference.ts";

/** An end point of the distribution-spec 1.1, its parts parsed. */
export type Route =
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "tags"; readonly repository: RepositoryName }
  | { readonly kind: "manifest"; readonly repository: RepositoryName; readonly reference: Reference }
  | { readonly kind: "blob"; readonly repository: RepositoryName; readonly digest: Digest }
  | { readonly kind: "uploads"; readonly repository: RepositoryName }
  | { readonly kind: "upload"; readonly repository: RepositoryName; readonly id: string }
  | { readonly kind: "referrers"; readonly repository: RepositoryName; readonly digest: Digest };

const METHODS = {
  base: ["GET", "HEAD"],
  catalog: ["GET", "HEAD"],
  tags: ["GET", "HEAD"],
  manifest: ["GET", "HEAD", "PUT", "DELETE"],
  blob: ["GET", "HEAD", "DELETE"],
  uploads: ["POST"],
  upload: ["GET", "HEAD", "PATCH", "PUT", "DELETE"],
  referrers: ["GET", "HEAD"],
} satisfies Record<Route["kind"], readonly string[]>;

const DOT_SEGMENT = /(?:^|\/)\.{1,2}(?:\/|$)/;
const UPLOAD_ID = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,255}$/;
const BASE: Route = { kind: "base" };
const CATALOG: Route = { kind: "catalog" };

/**
 * Finds the end point of a path under `/v2`. A name may hold slashes and the words of routes (`a/blobs/uploads` is one), so
 * the path is read from its end.
 * @param path as received, percent-encoded
 * @throws OciError REQUEST_INVALID, NAME_INVALID, TAG_INVALID, DIGEST_INVALID (400), NOT_FOUND, METHOD_NOT_ALLOWED
 */
export function route(method: string, path: string): Route {
  const found = match(path.includes("%") ? decodePath(path) : path);
  const allowed: readonly string[] = METHODS[found.kind];
  if (!allowed.includes(method)) {
    const allow = allowed.join(", ");
    throw new OciError("METHOD_NOT_ALLOWED", `this end point takes ${allow}`, { method: method.slice(0, 32), allow });
  }
  return found;
}

export function isRegistryPath(path: string): boolean {
  return path.startsWith("/v2/") || path === "/v2";
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    throw new OciError("REQUEST_INVALID", "the path is not percent-encoded UTF-8", {}, error);
  }
}

function match(path: string): Route {
  if (path === "/v2/" || path === "/v2") return BASE;
  if (path === "/v2/_catalog") return CATALOG;
  const last = path.lastIndexOf("/");
  const tail = path.slice(last + 1);
  const head = path.slice(0, last);
  if (head.endsWith("/manifests")) return { kind: "manifest", repository: name(head, 10), reference: reference(tail) };
  if (head.endsWith("/blobs/uploads")) {
    const repository = name(head, 14);
    return tail === "" ? { kind: "uploads", repository } : { kind: "upload", repository, id: uploadId(tail) };
  }
  if (head.endsWith("/blobs")) {
    const repository = name(head, 6);
    return tail === "uploads" ? { kind: "uploads", repository } : { kind: "blob", repository, digest: digest(tail) };
  }
  if (head.endsWith("/referrers")) return { kind: "referrers", repository: name(head, 10), digest: digest(tail) };
  if (tail === "list" && head.endsWith("/tags")) return { kind: "tags", repository: name(head, 5) };
  if (DOT_SEGMENT.test(path)) throw new OciError("REQUEST_INVALID", "the path holds a . or .. segment");
  throw new OciError("NOT_FOUND", "no end point of the registry has this path");
}

/** @param suffixLength of what follows the name in `head`, its slash included */
function name(head: string, suffixLength: number): RepositoryName {
  const text = head.slice(4, Math.max(4, head.length - suffixLength));
  const parsed = parseRepositoryName(text);
  if (parsed !== undefined) return parsed;
  throw new OciError("NAME_INVALID", "a repository's name is lowercase letters, digits, and . _ - between them, at most 255 characters", {
    name: text.slice(0, 300),
  });
}

function reference(text: string): Reference {
  const parsed = parseReference(text);
  if (parsed !== undefined) return parsed;
  if (text.includes(":")) return { digest: digest(text) };
  throw new OciError("TAG_INVALID", "a tag is a letter, digit or _, then up to 127 of these and . -", { tag: text.slice(0, 200) });
}

function digest(text: string): Digest {
  const parsed = parseDigest(text);
  if (parsed !== undefined) return parsed;
  throw new OciError("DIGEST_INVALID", "a digest is sha256: with 64 or sha512: with 128 lowercase hex digits", {
    digest: text.slice(0, 200),
  });
}

function uploadId(text: string): string {
  if (UPLOAD_ID.test(text)) return text;
  throw new OciError("BLOB_UPLOAD_UNKNOWN", "no upload session has such an id: begin again with POST");
}
