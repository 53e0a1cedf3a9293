import { OCI_INDEX } from "../core/media-types.ts";
import type { Page, Read, Registry } from "../registry/registry.ts";
import { addFreshness, json } from "./answers.ts";
import { ANONYMOUS, type Door } from "./door.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import { nextLink, parsePage, parseQuery } from "./query.ts";
import type { Route } from "./router.ts";

type Referrer = Awaited<ReturnType<Registry["referrers"]>>["value"]["items"][number];

export async function answerTags(
  door: Door,
  request: HttpRequest,
  route: Extract<Route, { kind: "tags" }>,
  signal: AbortSignal,
): Promise<HttpResponse> {
  const { after, limit } = parsePage(parseQuery(request.query), door.limits);
  const read = await door.registry.tags(ANONYMOUS, route.repository, { after, limit: Math.max(1, limit) }, signal);
  const headers = pageHeaders(read, `/v2/${route.repository}/tags/list`, limit);
  return json(200, { name: route.repository, tags: limit === 0 ? [] : read.value.items }, headers);
}

export async function answerCatalog(door: Door, request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
  const { after, limit } = parsePage(parseQuery(request.query), door.limits);
  const read = await door.registry.repositories(ANONYMOUS, { after, limit: Math.max(1, limit) }, signal);
  return json(200, { repositories: limit === 0 ? [] : read.value.items }, pageHeaders(read, "/v2/_catalog", limit));
}

/** `n=0` asks for nothing, and there is no page after nothing (http-rules 16); whether the repository exists is checked all the same. */
function pageHeaders(read: Read<Page<unknown>>, path: string, limit: number): string[] {
  const headers: string[] = [];
  if (limit > 0 && read.value.next !== undefined) headers.push("Link", nextLink(path, { n: String(limit), last: read.value.next }));
  addFreshness(headers, read.freshness);
  return headers;
}

/** Distribution-spec 1.1, "Listing Referrers": an image index, never 404 (http-rules 13). */
export async function answerReferrers(
  door: Door,
  request: HttpRequest,
  route: Extract<Route, { kind: "referrers" }>,
  signal: AbortSignal,
): Promise<HttpResponse> {
  const query = parseQuery(request.query);
  const artifactType = query.get("artifactType") || undefined;
  const { after, limit } = parsePage(query, door.limits);
  const ask = (items: number) =>
    door.registry.referrers(ANONYMOUS, route.repository, route.digest, { after, limit: items, artifactType }, signal);
  let read = await ask(Math.max(1, limit));
  const fitting = fittingItems(read.value.items, door.limits.referrersBytes);
  if (fitting < read.value.items.length) read = await ask(fitting);
  const headers: string[] = [];
  if (limit > 0 && read.value.next !== undefined) {
    headers.push(
      "Link",
      nextLink(`/v2/${route.repository}/referrers/${route.digest}`, { n: String(limit), last: read.value.next, artifactType }),
    );
  }
  if (artifactType !== undefined) headers.push("OCI-Filters-Applied", "artifactType");
  addFreshness(headers, read.freshness);
  const manifests = limit === 0 ? [] : read.value.items.map(descriptorOf);
  return json(200, { schemaVersion: 2, mediaType: OCI_INDEX, manifests }, headers, OCI_INDEX);
}

/** How many of `items` a page of `maxBytes` holds, at least one: annotations may be long. */
function fittingItems(items: readonly Referrer[], maxBytes: number): number {
  let sizeBytes = 0;
  for (let index = 0; index < items.length; index += 1) {
    sizeBytes += Buffer.byteLength(JSON.stringify(descriptorOf(items[index] as Referrer))) + 1;
    if (sizeBytes > maxBytes) return Math.max(1, index);
  }
  return items.length;
}

function descriptorOf(referrer: Referrer): Record<string, unknown> {
  return {
    mediaType: referrer.mediaType,
    digest: referrer.digest,
    size: referrer.sizeBytes,
    ...(referrer.artifactType === undefined ? {} : { artifactType: referrer.artifactType }),
    ...(referrer.annotations === undefined ? {} : { annotations: referrer.annotations }),
  };
}
