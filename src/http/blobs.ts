import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { type ByteRange, parseRange } from "../core/range.ts";
import type { BlobBody } from "../registry/registry.ts";
import { contentHeaders, empty } from "./answers.ts";
import { notModified } from "./conditions.ts";
import { ANONYMOUS, type Door } from "./door.ts";
import { errorResponse } from "./error-response.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import type { Route } from "./router.ts";

type BlobRoute = Extract<Route, { kind: "blob" }>;

const CONTENT_TYPE = "application/octet-stream";
const BACKWARDS = /^bytes=(\d+)-(\d+)$/i;
/** A body up to this is gathered and sent with its head in one write. */
const GATHERED_BYTES = 64 * 1024;

export function answerBlob(door: Door, request: HttpRequest, route: BlobRoute, signal: AbortSignal): Promise<HttpResponse> {
  switch (request.method) {
    case "GET":
      return getBlob(door, request, route, signal);
    case "HEAD":
      return headBlob(door, request, route, signal);
    default:
      return deleteBlob(door, route, signal);
  }
}

async function getBlob(door: Door, request: HttpRequest, route: BlobRoute, signal: AbortSignal): Promise<HttpResponse> {
  const { value, freshness } = await door.registry.blob(ANONYMOUS, route.repository, route.digest, signal);
  const headers = contentHeaders(CONTENT_TYPE, value.digest, freshness);
  headers.push("Accept-Ranges", "bytes");
  if (notModified(request.header("if-none-match"), value.digest)) return empty(304, headers);
  let range: ByteRange | undefined;
  try {
    range = requestedRange(request, value.digest, value.sizeBytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const refusal = new OciError("RANGE_INVALID", `the range selects none of the ${value.sizeBytes} bytes`, { sizeBytes: value.sizeBytes });
    return errorResponse(refusal, ["Content-Range", `bytes */${value.sizeBytes}`]);
  }
  if (range === undefined) return stream(200, headers, value, { start: 0, end: value.sizeBytes }, signal);
  headers.push("Content-Range", `bytes ${range.start}-${range.end - 1}/${value.sizeBytes}`);
  return stream(206, headers, value, range, signal);
}

/** @throws RangeError where it selects no byte; a range that runs backwards is one, as the conformance suite of the spec asks */
function requestedRange(request: HttpRequest, digest: Digest, sizeBytes: number): ByteRange | undefined {
  const header = request.header("range");
  if (header === undefined) return undefined;
  const condition = request.header("if-range");
  if (condition !== undefined && condition.trim() !== `"${digest}"`) return undefined;
  const both = BACKWARDS.exec(header.trim());
  if (both !== null && Number(both[2]) < Number(both[1])) throw new RangeError("the range runs backwards");
  return parseRange(header, sizeBytes);
}

/** The first chunk is awaited before there is a head, so that a blob which no peer can give is an error and not a cut body. */
async function stream(status: number, headers: string[], blob: BlobBody, range: ByteRange, signal: AbortSignal): Promise<HttpResponse> {
  const length = range.end - range.start;
  if (length === 0) return { status, headers, length, body: new Uint8Array(0) };
  const chunks = blob.open(range, signal)[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (length <= GATHERED_BYTES) return { status, headers, length, body: await gather(chunks, first, length) };
  return { status, headers, length, body: { open: () => new StartedStream(chunks, first) } };
}

async function gather(chunks: AsyncIterator<Uint8Array>, first: IteratorResult<Uint8Array>, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  for (let step = first; !step.done; step = await chunks.next()) {
    if (filled + step.value.byteLength > length) throw new Error(`a blob gave more than the ${length} bytes that it has`);
    bytes.set(step.value, filled);
    filled += step.value.byteLength;
  }
  if (filled !== length) throw new Error(`a blob gave ${filled} of ${length} bytes`);
  return bytes;
}

/** An iteration whose first step was taken already. */
class StartedStream implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #first: IteratorResult<Uint8Array> | undefined;

  constructor(chunks: AsyncIterator<Uint8Array>, first: IteratorResult<Uint8Array>) {
    this.#chunks = chunks;
    this.#first = first;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const first = this.#first;
    if (first === undefined) return this.#chunks.next();
    this.#first = undefined;
    return Promise.resolve(first);
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#chunks.return?.();
    return { done: true, value: undefined };
  }
}

async function headBlob(door: Door, request: HttpRequest, route: BlobRoute, signal: AbortSignal): Promise<HttpResponse> {
  const { value, freshness } = await door.registry.headBlob(ANONYMOUS, route.repository, route.digest, signal);
  const headers = contentHeaders(CONTENT_TYPE, value.digest, freshness);
  headers.push("Accept-Ranges", "bytes");
  if (notModified(request.header("if-none-match"), value.digest)) return empty(304, headers);
  return { status: 200, headers, length: value.sizeBytes, body: undefined };
}

async function deleteBlob(door: Door, route: BlobRoute, signal: AbortSignal): Promise<HttpResponse> {
  await door.registry.deleteBlob(ANONYMOUS, route.repository, route.digest, signal);
  return empty(202);
}
