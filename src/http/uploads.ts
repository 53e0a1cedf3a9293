import { algorithmOf, type Digest, type DigestAlgorithm, digestOf, parseDigest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { parseRepositoryName, type RepositoryName } from "../core/reference.ts";
import type { UploadChunk, UploadProgress } from "../registry/registry.ts";
import { empty } from "./answers.ts";
import { NO_BODY } from "./body.ts";
import { ANONYMOUS, type Door } from "./door.ts";
import { errorResponse } from "./error-response.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import { parseQuery } from "./query.ts";
import type { Route } from "./router.ts";

type UploadsRoute = Extract<Route, { kind: "uploads" }>;
type UploadRoute = Extract<Route, { kind: "upload" }>;

/** `a-b` of the distribution-spec 1.1; `bytes` before it and a total after it, as RFC 9110 writes it, are taken too. */
const CONTENT_RANGE = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/;

/** POST: a mount, a push in one request, or a new session (distribution-spec 1.1, end-4a, 4b and 11). */
export async function answerUploads(door: Door, request: HttpRequest, route: UploadsRoute, signal: AbortSignal): Promise<HttpResponse> {
  if (!door.takesUploads()) throw new OciError("UNAVAILABLE", "this node is stopping: send the request again, to another node");
  const query = parseQuery(request.query);
  const mount = query.get("mount");
  const given = query.get("digest");
  let algorithm = parseAlgorithm(query.get("digest-algorithm"));
  if (mount !== null) {
    const digest = requireDigest(mount, "mount");
    const mounted = await mountBlob(door, route.repository, digest, query.get("from"), signal);
    if (mounted) return created(route.repository, digest);
    algorithm ??= algorithmOf(digest);
  } else if (given !== null) {
    const digest = requireDigest(given, "digest");
    if (request.hasBody || digest === digestOf(new Uint8Array(0), algorithmOf(digest))) {
      return pushWhole(door, request, route.repository, digest, signal);
    }
    algorithm ??= algorithmOf(digest);
  }
  const progress = await door.registry.startUpload(ANONYMOUS, route.repository, algorithm ?? "sha256", signal);
  return empty(202, [...sessionHeaders(route.repository, progress), "OCI-Chunk-Min-Length", String(door.limits.chunkMinBytes)]);
}

/** Whatever keeps a mount from being is answered by a session; only a name that is none is the client's error. */
async function mountBlob(
  door: Door,
  repository: RepositoryName,
  digest: Digest,
  source: string | null,
  signal: AbortSignal,
): Promise<boolean> {
  const from = source === null || source === "" ? undefined : parseRepositoryName(source);
  if (from === undefined && source !== null && source !== "") {
    throw new OciError("NAME_INVALID", "from= is no repository's name", { from: source.slice(0, 300) });
  }
  try {
    return (await door.registry.mountBlob(ANONYMOUS, repository, digest, from, signal)) !== undefined;
  } catch (error) {
    if (error instanceof OciError && (error.code === "BLOB_UNKNOWN" || error.code === "NAME_UNKNOWN")) return false;
    throw error;
  }
}

/** No client knows the session of such a push, so one that fails is cancelled at once. */
async function pushWhole(
  door: Door,
  request: HttpRequest,
  repository: RepositoryName,
  digest: Digest,
  signal: AbortSignal,
): Promise<HttpResponse> {
  const { id } = await door.registry.startUpload(ANONYMOUS, repository, algorithmOf(digest), signal);
  try {
    const finished = await door.registry.finishUpload(ANONYMOUS, { ...chunkOf(request, repository, id), digest }, signal);
    return created(repository, finished.digest);
  } catch (error) {
    const unsignalled = new AbortController().signal; // the client's may have aborted already
    await door.registry.cancelUpload(ANONYMOUS, repository, id, unsignalled).catch(() => undefined);
    throw error;
  }
}

export async function answerUpload(door: Door, request: HttpRequest, route: UploadRoute, signal: AbortSignal): Promise<HttpResponse> {
  const { repository, id } = route;
  switch (request.method) {
    case "PATCH":
      return inOrder(route, () => patchUpload(door, request, route, signal));
    case "PUT":
      return inOrder(route, () => putUpload(door, request, route, signal));
    case "DELETE":
      await door.registry.cancelUpload(ANONYMOUS, repository, id, signal);
      return empty(204);
    default:
      return empty(204, sessionHeaders(repository, await door.registry.uploadProgress(ANONYMOUS, repository, id, signal)));
  }
}

async function patchUpload(door: Door, request: HttpRequest, route: UploadRoute, signal: AbortSignal): Promise<HttpResponse> {
  const chunk = chunkOf(request, route.repository, route.id);
  if (request.expectsContinue) await checkSession(door, chunk, signal);
  const progress = await door.registry.appendUpload(ANONYMOUS, chunk, signal);
  return empty(202, sessionHeaders(route.repository, progress));
}

async function putUpload(door: Door, request: HttpRequest, route: UploadRoute, signal: AbortSignal): Promise<HttpResponse> {
  const digest = requireDigest(parseQuery(request.query).get("digest"), "digest");
  const chunk = chunkOf(request, route.repository, route.id);
  // never asked first: a PUT that is sent again is answered 201 for a session which is no longer there to ask about
  const finished = await door.registry.finishUpload(ANONYMOUS, { ...chunk, digest }, signal);
  return created(route.repository, finished.digest);
}

/** A client that asks first is told of a lost session, or of a chunk out of order, before it sends its body. */
async function checkSession(door: Door, chunk: UploadChunk, signal: AbortSignal): Promise<void> {
  const { offset } = await door.registry.uploadProgress(ANONYMOUS, chunk.repository, chunk.id, signal);
  if (chunk.offset !== undefined && chunk.offset !== offset) {
    throw new OciError("RANGE_INVALID", `the session holds ${offset} bytes: the next chunk begins there`, { offset });
  }
}

/** http-rules 7: a refusal for order says where to go on. */
async function inOrder(route: UploadRoute, answer: () => Promise<HttpResponse>): Promise<HttpResponse> {
  try {
    return await answer();
  } catch (error) {
    if (!(error instanceof OciError) || error.code !== "RANGE_INVALID" || typeof error.detail.offset !== "number") throw error;
    return errorResponse(error, sessionHeaders(route.repository, { id: route.id, offset: error.detail.offset }));
  }
}

function chunkOf(request: HttpRequest, repository: RepositoryName, id: string): UploadChunk {
  const body = request.hasBody ? request.body : NO_BODY;
  const promised = request.hasBody ? request.contentLength : 0;
  const header = request.header("content-range");
  if (header === undefined) return { repository, id, body, ...(promised === undefined ? {} : { sizeBytes: promised }) };
  const match = CONTENT_RANGE.exec(header.trim());
  const start = Number(match?.[1]);
  const sizeBytes = Number(match?.[2]) - start + 1;
  if (match === null || sizeBytes < 1) {
    throw new OciError("BLOB_UPLOAD_INVALID", "Content-Range is to be START-END, both inclusive", { contentRange: header.slice(0, 64) });
  }
  // curl and old clients say `0-0` of nothing
  if (promised === 0 && sizeBytes === 1) return { repository, id, body, offset: start, sizeBytes: 0 };
  if (promised !== undefined && promised !== sizeBytes) {
    throw new OciError("SIZE_INVALID", "Content-Length and Content-Range differ", { contentLength: promised, contentRange: sizeBytes });
  }
  return { repository, id, body, offset: start, sizeBytes };
}

/** `Location` is relative (http-rules 5); Range has no `bytes=` and is `0-0` while there is nothing (6). */
function sessionHeaders(repository: RepositoryName, progress: UploadProgress): string[] {
  return [
    "Location",
    `/v2/${repository}/blobs/uploads/${encodeURIComponent(progress.id)}`,
    "Range",
    `0-${Math.max(0, progress.offset - 1)}`,
    "Docker-Upload-UUID",
    progress.id,
  ];
}

function created(repository: RepositoryName, digest: Digest): HttpResponse {
  return empty(201, ["Location", `/v2/${repository}/blobs/${digest}`, "Docker-Content-Digest", digest, "ETag", `"${digest}"`]);
}

function requireDigest(text: string | null, parameter: string): Digest {
  const digest = text === null ? undefined : parseDigest(text);
  if (digest !== undefined) return digest;
  throw new OciError("DIGEST_INVALID", `${parameter}= is to be sha256: with 64 or sha512: with 128 lowercase hex digits`, {
    [parameter]: (text ?? "").slice(0, 200),
  });
}

function parseAlgorithm(text: string | null): DigestAlgorithm | undefined {
  if (text === null || text === "") return undefined;
  if (text === "sha256" || text === "sha512") return text;
  throw new OciError("DIGEST_INVALID", "digest-algorithm= is sha256 or sha512 here", { algorithm: text.slice(0, 64) });
}
