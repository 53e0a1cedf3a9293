import { OciError } from "../core/errors.ts";
import { json } from "./answers.ts";
import { type WrapOptions, wrap } from "./app.ts";
import { readBody } from "./body.ts";
import type { Handler, HttpRequest, HttpResponse } from "./http.ts";

/** What an administrator may ask of this node; `node/` implements it. */
export interface Admin {
  status(): Promise<ClusterStatus>;
  /** @returns the token, and the multiaddrs at which a newcomer can reach this cluster */
  createToken(wish: {
    readonly uses: number;
    readonly ttlMs: number;
  }): Promise<{ readonly token: string; readonly join: readonly string[] }>;
}

export interface ClusterStatus {
  readonly clusterId: string;
  /** Name of the leader; undefined where none is known. */
  readonly leader: string | undefined;
  readonly commitIndex: number;
  /** The node that answers has no contact with a majority: what it says may be old. */
  readonly cutOff: boolean;
  readonly nodes: readonly NodeStatus[];
  /** Sentences for people: `one copy only`, `writes stop when one is down`. */
  readonly warnings: readonly string[];
}

export interface NodeStatus {
  readonly name: string;
  readonly peerId: string;
  readonly role: "voter" | "learner";
  readonly alive: boolean;
  readonly zone: string;
  readonly addresses: readonly string[];
  readonly http: string;
  /** Undefined where the node that answers does not know. */
  readonly appliedIndex: number | undefined;
  readonly blobs: number | undefined;
  readonly bytes: number | undefined;
  readonly cutOff: boolean | undefined;
  readonly disk: NodeDisk | undefined;
}

export interface NodeDisk {
  readonly freeBytes: number;
  /** What blobs leave free for the log; 0 where the file system does not tell its size. */
  readonly reserveBytes: number;
  /** `blobs`: no blob is taken; `writes`: no manifest either. */
  readonly low: "no" | "blobs" | "writes";
}

const BODY_BYTES_MAX = 64 * 1024;
const USES_MAX = 1_000;
const TTL_MS_MAX = 365 * 24 * 3_600_000;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 24 * 3_600_000 };
const TTL = /^(\d{1,12})(ms|s|m|h|d)$/;

/** `/_roadstead/v1`: served on the unix socket (0600) alone, until there are users. */
export function createAdminApp(admin: Admin, options: WrapOptions): Handler {
  return wrap(options, (request, _signal, seen) => {
    seen.label = "admin";
    switch (request.path) {
      case "/_roadstead/v1/status":
        requireMethod(request, "GET");
        return admin.status().then((status) => json(200, status));
      case "/_roadstead/v1/tokens":
        requireMethod(request, "POST");
        return createToken(admin, request);
      default:
        throw new OciError("NOT_FOUND", "the admin API has no such path");
    }
  });
}

function requireMethod(request: HttpRequest, method: string): void {
  if (request.method === method) return;
  throw new OciError("METHOD_NOT_ALLOWED", `${request.path} takes ${method}`, { allow: method });
}

async function createToken(admin: Admin, request: HttpRequest): Promise<HttpResponse> {
  const wish = parseWish(await readBody(request, BODY_BYTES_MAX));
  return json(201, await admin.createToken(wish), ["Cache-Control", "no-store"]);
}

/** `{"uses": 1, "ttl": "1h"}`, both optional; a ttl that is a number is in ms. */
function parseWish(bytes: Uint8Array): { readonly uses: number; readonly ttlMs: number } {
  let wish: unknown = {};
  try {
    if (bytes.byteLength > 0) wish = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new OciError("REQUEST_INVALID", 'the body is no JSON: send {"uses": 1, "ttl": "1h"}', {}, error);
  }
  if (typeof wish !== "object" || wish === null || Array.isArray(wish)) {
    throw new OciError("REQUEST_INVALID", 'the body is to be an object: {"uses": 1, "ttl": "1h"}');
  }
  const { uses = 1, ttl = "1h" } = wish as { uses?: unknown; ttl?: unknown };
  if (typeof uses !== "number" || !Number.isInteger(uses) || uses < 1 || uses > USES_MAX) {
    throw new OciError("REQUEST_INVALID", `uses is to be a whole number from 1 to ${USES_MAX}`);
  }
  return { uses, ttlMs: parseTtl(ttl) };
}

function parseTtl(ttl: unknown): number {
  const match = typeof ttl === "string" ? TTL.exec(ttl) : null;
  const ttlMs = match === null ? ttl : Number(match[1]) * (UNITS[match[2] ?? ""] ?? Number.NaN);
  if (typeof ttlMs === "number" && Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= TTL_MS_MAX) return ttlMs;
  throw new OciError("REQUEST_INVALID", "ttl is to be a duration up to 365d, like 30m, 24h or 7d");
}
