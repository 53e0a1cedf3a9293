import type { Clock } from "../core/clock.ts";
import { isAbortError, OciError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { Registry } from "../registry/registry.ts";
import { answerBase } from "./base.ts";
import { answerBlob } from "./blobs.ts";
import { counted } from "./body.ts";
import type { Door } from "./door.ts";
import { errorResponse, refusalOf } from "./error-response.ts";
import type { Handler, HttpRequest, HttpResponse } from "./http.ts";
import type { HttpLimits } from "./limits.ts";
import { answerCatalog, answerReferrers, answerTags } from "./listings.ts";
import { answerManifest } from "./manifests.ts";
import { answerOperations, type Operations } from "./operations.ts";
import { requestIds } from "./request-id.ts";
import type { RequestTally, RouteLabel } from "./request-tally.ts";
import { isRegistryPath, type Route, route } from "./router.ts";
import { answerUpload, answerUploads } from "./uploads.ts";

export interface AppOptions {
  readonly registry: Registry;
  readonly operations: Operations;
  readonly log: Log;
  readonly random: Random;
  readonly clock: Clock;
  readonly limits: HttpLimits;
  /** False once the node takes no new connection, for it stops; true where nobody says. */
  readonly takesUploads?: () => boolean;
  /** What gets an access log line: all, writes and failures, or failures (5xx) alone. */
  readonly accessLog?: AccessLog;
}

export type AccessLog = "all" | "writes" | "failures";

/** The whole front end as one function: routes, who may, error answers, request ids, metrics, log. */
export function createApp(options: AppOptions): Handler {
  const door: Door = {
    registry: options.registry,
    limits: options.limits,
    takesUploads: options.takesUploads ?? (() => true),
  };
  return wrap(
    {
      log: options.log,
      random: options.random,
      clock: options.clock,
      limits: options.limits,
      tally: options.operations.metrics.requests,
      accessLog: options.accessLog ?? "writes",
    },
    (request, signal, seen) => {
      if (isRegistryPath(request.path)) {
        const found = route(request.method, request.path);
        seen.label = found.kind;
        return dispatch(door, request, found, signal);
      }
      const answered = answerOperations(options.operations, request);
      if (answered === undefined) throw new OciError("NOT_FOUND", "nothing is served at this path; the registry is at /v2/");
      seen.label = "operations";
      return answered;
    },
  );
}

function dispatch(door: Door, request: HttpRequest, found: Route, signal: AbortSignal): Promise<HttpResponse> | HttpResponse {
  switch (found.kind) {
    case "manifest":
      return answerManifest(door, request, found, signal);
    case "blob":
      return answerBlob(door, request, found, signal);
    case "upload":
      return answerUpload(door, request, found, signal);
    case "uploads":
      return answerUploads(door, request, found, signal);
    case "tags":
      return answerTags(door, request, found, signal);
    case "referrers":
      return answerReferrers(door, request, found, signal);
    case "catalog":
      return answerCatalog(door, request, signal);
    case "base":
      return answerBase();
    default:
      return found satisfies never;
  }
}

export interface WrapOptions {
  readonly log: Log;
  readonly random: Random;
  readonly clock: Clock;
  readonly limits: HttpLimits;
  readonly tally: RequestTally | undefined;
  readonly accessLog: AccessLog;
}

/** Filled in by the routes as they learn it. */
interface Seen {
  label: RouteLabel;
}

type Routes = (request: HttpRequest, signal: AbortSignal, seen: Seen) => Promise<HttpResponse> | HttpResponse;

/** What every answer gets, an error's too: request id, API version, metrics, log. Never rejects. */
export function wrap(options: WrapOptions, routes: Routes): Handler {
  const nextId = requestIds(options.random);
  const { clock, tally, limits, log } = options;
  return async (request, signal) => {
    const startMs = clock.monotonicMs();
    const id = nextId();
    const seen: Seen = { label: "none" };
    const isHead = request.method === "HEAD";
    let response: HttpResponse;
    try {
      if (request.target.length > limits.targetBytes) throw targetTooLong(limits.targetBytes);
      const heard = tally === undefined || !request.hasBody ? request : new CountedRequest(request, tally);
      response = await routes(heard, signal, seen);
    } catch (error) {
      response = answerError(error, signal, log, id, request);
    }
    response.headers.push("X-Request-Id", id, "Docker-Distribution-Api-Version", "registry/2.0");
    const elapsedMs = clock.monotonicMs() - startMs;
    if (tally !== undefined) {
      tally.count(seen.label, request.method, response.status, elapsedMs);
      if (!isHead) response = countOut(response, tally);
    }
    if (wantsLine(options.accessLog, request.method, response.status, seen.label)) logAnswer(log, id, request, response, elapsedMs);
    return response;
  };
}

function targetTooLong(targetBytes: number): OciError {
  return new OciError("REQUEST_INVALID", `the request target is longer than ${targetBytes} bytes`, { httpStatus: 414 });
}

function answerError(thrown: unknown, signal: AbortSignal, log: Log, requestId: string, request: HttpRequest): HttpResponse {
  if (signal.aborted && isAbortError(thrown)) {
    // nobody is there to read this; the status is for the metrics
    return errorResponse(new OciError("REQUEST_TIMEOUT", "the client went away", { httpStatus: 499 }));
  }
  const refusal = refusalOf(thrown);
  if (refusal.code === "INTERNAL") {
    log.error({ requestId, method: request.method, path: request.path, err: thrown }, "a request failed by a defect of the registry");
  }
  return errorResponse(refusal);
}

function countOut(response: HttpResponse, tally: RequestTally): HttpResponse {
  const { body } = response;
  if (body === undefined) return response;
  if (body instanceof Uint8Array) {
    tally.bytesOut += body.byteLength;
    return response;
  }
  const add = (bytes: number): void => {
    tally.bytesOut += bytes;
  };
  return { ...response, body: { open: (signal) => counted(body.open(signal), add) } };
}

/** A probe that is answered "not ready" has its answer: a line each second would hide what matters. */
function wantsLine(level: AccessLog, method: string, status: number, label: RouteLabel): boolean {
  if (level === "all" || (status >= 500 && !(label === "operations" && status === 503))) return true;
  return level === "writes" && method !== "GET" && method !== "HEAD";
}

function logAnswer(log: Log, requestId: string, request: HttpRequest, response: HttpResponse, elapsedMs: number): void {
  const fields = {
    requestId,
    method: request.method,
    path: request.path,
    status: response.status,
    ms: Math.round(elapsedMs * 10) / 10,
    bytes: response.length ?? 0,
    remote: request.remoteAddress,
  };
  if (response.status >= 500) log.warn(fields, "request failed");
  else log.info(fields, "request");
}

/** The same request, whose body is counted as it is read. */
class CountedRequest implements HttpRequest {
  readonly #request: HttpRequest;
  readonly #tally: RequestTally;
  readonly hasBody = true;

  constructor(request: HttpRequest, tally: RequestTally) {
    this.#request = request;
    this.#tally = tally;
  }

  get method(): string {
    return this.#request.method;
  }
  get target(): string {
    return this.#request.target;
  }
  get path(): string {
    return this.#request.path;
  }
  get query(): string {
    return this.#request.query;
  }
  get remoteAddress(): string {
    return this.#request.remoteAddress;
  }
  get contentLength(): number | undefined {
    return this.#request.contentLength;
  }
  get expectsContinue(): boolean {
    return this.#request.expectsContinue;
  }
  header(name: string): string | undefined {
    return this.#request.header(name);
  }
  get body(): AsyncIterable<Uint8Array> {
    return counted(this.#request.body, (bytes) => {
      this.#tally.bytesIn += bytes;
    });
  }
}
