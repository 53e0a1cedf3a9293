import { OciError } from "../core/errors.ts";
import { json, text } from "./answers.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import type { Metrics } from "./metrics.ts";

/** What this node can do now; `node/` implements it. */
export interface Readiness {
  /** Pulls are answered, if need be with a Warning (G3). */
  reads(): boolean;
  /** A leader is known, a majority can be reached, and this node's disk has room. */
  writes(): Promise<boolean>;
  /** The node was asked to stop: it still serves, and clients are to be sent elsewhere. */
  stopping(): boolean;
}

export interface Operations {
  readonly readiness: Readiness;
  readonly metrics: Metrics;
}

/** `/healthz`, `/readyz` and `/metrics`; undefined for every other path. */
export function answerOperations(operations: Operations, request: HttpRequest): Promise<HttpResponse> | HttpResponse | undefined {
  const { path } = request;
  if (path !== "/healthz" && path !== "/readyz" && path !== "/metrics") return undefined;
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new OciError("METHOD_NOT_ALLOWED", `${path} takes GET and HEAD`, { allow: "GET, HEAD" });
  }
  if (path === "/healthz") return json(200, { status: "alive" }); // also without a quorum: a restart would not help
  if (path === "/readyz") return answerReady(operations.readiness, request.query);
  return operations.metrics.scrape().then((page) => text(200, page, operations.metrics.contentType));
}

async function answerReady(readiness: Readiness, query: string): Promise<HttpResponse> {
  const reads = readiness.reads();
  const writes = await readiness.writes();
  const stopping = readiness.stopping();
  const ready = !stopping && (new URLSearchParams(query).has("writes") ? reads && writes : reads);
  return json(ready ? 200 : 503, { ready, reads, writes, ...(stopping ? { stopping } : {}) }, ready ? [] : ["Retry-After", "1"]);
}
