import { OciError } from "../core/errors.ts";
import { bareMediaType } from "../core/media-types.ts";
import { parseTag, type Tag } from "../core/reference.ts";
import { contentHeaders, empty } from "./answers.ts";
import { readBody } from "./body.ts";
import { notModified, parseIfMatch, parseIfNoneMatch } from "./conditions.ts";
import { ANONYMOUS, type Door } from "./door.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import { parseQuery } from "./query.ts";
import type { Route } from "./router.ts";

type ManifestRoute = Extract<Route, { kind: "manifest" }>;

export function answerManifest(door: Door, request: HttpRequest, route: ManifestRoute, signal: AbortSignal): Promise<HttpResponse> {
  switch (request.method) {
    case "GET":
      return getManifest(door, request, route, signal);
    case "HEAD":
      return headManifest(door, request, route, signal);
    case "PUT":
      return putManifest(door, request, route, signal);
    default:
      return deleteManifest(door, route, signal);
  }
}

async function getManifest(door: Door, request: HttpRequest, route: ManifestRoute, signal: AbortSignal): Promise<HttpResponse> {
  const { value, freshness } = await door.registry.manifest(ANONYMOUS, route.repository, route.reference, signal);
  const headers = contentHeaders(value.mediaType, value.digest, freshness);
  if (notModified(request.header("if-none-match"), value.digest)) return empty(304, headers);
  return { status: 200, headers, length: value.bytes.byteLength, body: value.bytes };
}

async function headManifest(door: Door, request: HttpRequest, route: ManifestRoute, signal: AbortSignal): Promise<HttpResponse> {
  const { value, freshness } = await door.registry.headManifest(ANONYMOUS, route.repository, route.reference, signal);
  const headers = contentHeaders(value.mediaType, value.digest, freshness);
  if (notModified(request.header("if-none-match"), value.digest)) return empty(304, headers);
  return { status: 200, headers, length: value.sizeBytes, body: undefined };
}

async function putManifest(door: Door, request: HttpRequest, route: ManifestRoute, signal: AbortSignal): Promise<HttpResponse> {
  const tags = request.query === "" ? [] : parseTagParameters(request.query);
  const ifMatch = parseIfMatch(request.header("if-match"));
  const ifNoneMatch = parseIfNoneMatch(request.header("if-none-match"));
  const bytes = await readBody(request, door.limits.manifestBytes);
  const put = await door.registry.putManifest(
    ANONYMOUS,
    {
      repository: route.repository,
      reference: route.reference,
      tags,
      mediaType: bareMediaType(request.header("content-type") ?? ""), // empty: the registry takes `mediaType` of the body
      bytes,
      ...(ifMatch === undefined ? {} : { ifMatch }),
      ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
    },
    signal,
  );
  const location = `/v2/${route.repository}/manifests/${put.digest}`;
  const headers = ["Location", location, "Docker-Content-Digest", put.digest, "ETag", `"${put.digest}"`];
  if (put.subject !== undefined) headers.push("OCI-Subject", put.subject);
  for (const tag of put.tags) headers.push("OCI-Tag", tag);
  return empty(201, headers);
}

/** `?tag=` of a push by digest (distribution-spec 1.1, end-7b), each once. */
function parseTagParameters(query: string): Tag[] {
  const tags = new Set<Tag>();
  for (const text of parseQuery(query).getAll("tag")) {
    const tag = parseTag(text);
    if (tag === undefined) throw new OciError("TAG_INVALID", "a tag= of the query is no tag", { tag: text.slice(0, 200) });
    tags.add(tag);
  }
  return [...tags];
}

async function deleteManifest(door: Door, route: ManifestRoute, signal: AbortSignal): Promise<HttpResponse> {
  await door.registry.deleteManifest(ANONYMOUS, route.repository, route.reference, signal);
  return empty(202);
}
