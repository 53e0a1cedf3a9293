import { OciError } from "../core/errors.ts";
import { json } from "./answers.ts";
import { type WrapOptions, wrap } from "./app.ts";
import { readBody } from "./body.ts";
import type { Handler, HttpRequest, HttpResponse } from "./http.ts";
import { parseQuery } from "./query.ts";

/** What an administrator may ask of this node; `node/` implements it. */
export interface Admin {
  status(): Promise<ClusterStatus>;
  /** @returns the token, and the multiaddrs at which a newcomer can reach this cluster */
  createToken(wish: {
    readonly uses: number;
    readonly ttlMs: number;
  }): Promise<{ readonly id: string; readonly token: string; readonly join: readonly string[] }>;
  tokens(): Promise<readonly TokenStatus[]>;
  /** @throws OciError NOT_FOUND */
  revokeToken(id: string): Promise<TokenStatus>;
  /** The newest first. */
  audit(limit: number): Promise<readonly AuditEntry[]>;
  /** What a recovery would do. @throws OciError CONFLICT where there is nothing to recover */
  recoveryPlan(): Promise<RecoveryPlan>;
  /** Without a quorum. @param lost names of all the members that do not answer; they are given up for good. @returns before it is done */
  recover(clusterId: string, lost: readonly string[]): Promise<{ readonly clusterId: string; readonly leader: string }>;
  lostBlobs(): Promise<readonly LostBlob[]>;
  /** Nodes are given by name or peer id. @throws OciError with the reason and the way out, as do the next three */
  drain(node: string): Promise<NodeChange>;
  undrain(node: string): Promise<NodeChange>;
  /** @param how `lost`: give up what lies there alone; `force`: also where it is alive and not drained */
  remove(node: string, how: { readonly lost: boolean; readonly force: boolean }): Promise<NodeChange>;
  /** Without a node, to the voter that has applied most. Resolves when it leads. */
  transferLeader(node: string | undefined): Promise<{ readonly leader: string }>;
}

export interface NodeChange {
  readonly node: string;
  /** Copies that the node holds, by the catalog. */
  readonly copies: number;
}

/** A join token, never its secret. */
export interface TokenStatus {
  readonly id: string;
  readonly state: "good" | "used up" | "expired" | "revoked";
  readonly usesLeft: number;
  /** Of catalog time, which stands still without a quorum; 0 where it is over. */
  readonly msLeft: number;
}

/** A cluster without a quorum, as far as it can be reached. */
export interface RecoveryPlan {
  readonly clusterId: string;
  /** The survivor that the cluster goes on from: its log goes furthest. */
  readonly chosen: string;
  readonly survivors: readonly {
    readonly name: string;
    readonly lastTerm: number;
    readonly lastIndex: number;
    readonly appliedIndex: number;
  }[];
  readonly lost: readonly { readonly name: string; readonly http: string }[];
  /** Blobs of which no survivor holds a copy. */
  readonly lostBlobs: number;
}

/** A blob of which no member holds a copy. */
export interface LostBlob {
  readonly digest: string;
  readonly repositories: readonly string[];
}

export interface AuditEntry {
  readonly number: number;
  /** ISO 8601, by the clock of the node that noted it. */
  readonly at: string;
  readonly node: string;
  readonly action: string;
  readonly target: string;
  readonly detail: string;
}

export interface ClusterStatus {
  readonly clusterId: string;
  /** Name of the leader; undefined where none is known. */
  readonly leader: string | undefined;
  readonly commitIndex: number;
  /** The node that answers has no contact with a majority: what it says may be old. */
  readonly cutOff: boolean;
  readonly nodes: readonly NodeStatus[];
  /** Of which no member holds a copy; counted up to 1,000. */
  readonly lostBlobs: number;
  /** Sentences for people: `one copy only`, `writes stop when one is down`. */
  readonly warnings: readonly string[];
}

export interface NodeStatus {
  readonly name: string;
  readonly peerId: string;
  readonly role: "voter" | "learner";
  readonly alive: boolean;
  /** Its copies are being moved to the others. */
  readonly draining: boolean;
  /** Copies that the catalog lists for it. */
  readonly copies: number;
  readonly zone: string;
  readonly addresses: readonly string[];
  readonly http: string;
  /** Undefined where the node that answers does not know. */
  readonly appliedIndex: number | undefined;
  readonly blobs: number | undefined;
  readonly bytes: number | undefined;
  readonly cutOff: boolean | undefined;
  readonly disk: NodeDisk | undefined;
  /** By how much its clock is ahead of that of the node that answers, as far as a round trip lets that be told; undefined where it is not known. */
  readonly clockAheadMs: number | undefined;
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
/** `uses` and `ttl` are optional; a ttl that is a number is in ms. */
const TOKEN_EXAMPLE = '{"uses": 1, "ttl": "1h"}';
const TOKEN_ID_EXAMPLE = '{"id": "FIRST-PART-OF-THE-TOKEN"}';
const AUDIT_ENTRIES = 50;
const AUDIT_ENTRIES_MAX = 1_000;
const RECOVERY_EXAMPLE = '{"clusterId": "ID", "lost": ["node-2", "node-3"]}';
const NODE_EXAMPLE = '{"node": "node-2"}';
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
        if (request.method === "GET") return admin.tokens().then((tokens) => json(200, { tokens }));
        requireMethod(request, "POST");
        return createToken(admin, request);
      case "/_roadstead/v1/tokens/revoke":
        requireMethod(request, "POST");
        return wishOf(request, TOKEN_ID_EXAMPLE).then(async (wish) => json(200, await admin.revokeToken(tokenIdOf(wish))));
      case "/_roadstead/v1/audit":
        requireMethod(request, "GET");
        return admin.audit(limitOf(request)).then((entries) => json(200, { entries }));
      case "/_roadstead/v1/recovery":
        if (request.method === "GET") return admin.recoveryPlan().then((plan) => json(200, plan));
        requireMethod(request, "POST");
        return wishOf(request, RECOVERY_EXAMPLE).then(async (wish) => json(202, await recover(admin, wish)));
      case "/_roadstead/v1/blobs/lost":
        requireMethod(request, "GET");
        return admin.lostBlobs().then((blobs) => json(200, { blobs }));
      case "/_roadstead/v1/nodes/drain":
        requireMethod(request, "POST");
        return wishOf(request).then(async (wish) => json(200, await admin.drain(nodeOf(wish))));
      case "/_roadstead/v1/nodes/undrain":
        requireMethod(request, "POST");
        return wishOf(request).then(async (wish) => json(200, await admin.undrain(nodeOf(wish))));
      case "/_roadstead/v1/nodes/remove":
        requireMethod(request, "POST");
        return wishOf(request).then(async (wish) =>
          json(200, await admin.remove(nodeOf(wish), { lost: flagOf(wish, "lost"), force: flagOf(wish, "force") })),
        );
      case "/_roadstead/v1/leader":
        requireMethod(request, "POST");
        return wishOf(request).then(async (wish) => json(200, await admin.transferLeader("node" in wish ? nodeOf(wish) : undefined)));
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
  const { uses = 1, ttl = "1h" } = await wishOf(request, TOKEN_EXAMPLE);
  if (typeof uses !== "number" || !Number.isInteger(uses) || uses < 1 || uses > USES_MAX) {
    throw new OciError("REQUEST_INVALID", `uses is to be a whole number from 1 to ${USES_MAX}`);
  }
  return json(201, await admin.createToken({ uses, ttlMs: parseTtl(ttl) }), ["Cache-Control", "no-store"]);
}

/** The body, an object in JSON; none is an empty one. */
async function wishOf(request: HttpRequest, example = NODE_EXAMPLE): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readBody(request, BODY_BYTES_MAX);
  let wish: unknown = {};
  try {
    if (bytes.byteLength > 0) wish = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new OciError("REQUEST_INVALID", `the body is no JSON: send ${example}`, {}, error);
  }
  if (typeof wish !== "object" || wish === null || Array.isArray(wish)) {
    throw new OciError("REQUEST_INVALID", `the body is to be an object: ${example}`);
  }
  return wish as Readonly<Record<string, unknown>>;
}

function recover(admin: Admin, { clusterId, lost }: Readonly<Record<string, unknown>>): ReturnType<Admin["recover"]> {
  if (typeof clusterId === "string" && Array.isArray(lost) && lost.every((name) => typeof name === "string")) {
    return admin.recover(clusterId, lost);
  }
  throw new OciError("REQUEST_INVALID", `a recovery names the cluster, and the nodes that are lost: ${RECOVERY_EXAMPLE}`);
}

function tokenIdOf({ id }: Readonly<Record<string, unknown>>): string {
  if (typeof id === "string" && id !== "") return id;
  throw new OciError("REQUEST_INVALID", `id is to be the id of a token: ${TOKEN_ID_EXAMPLE}`);
}

function limitOf(request: HttpRequest): number {
  const limit = Number(parseQuery(request.query).get("limit") ?? AUDIT_ENTRIES);
  if (Number.isInteger(limit) && limit >= 1 && limit <= AUDIT_ENTRIES_MAX) return limit;
  throw new OciError("REQUEST_INVALID", `limit is to be a whole number from 1 to ${AUDIT_ENTRIES_MAX}`);
}

function nodeOf({ node }: Readonly<Record<string, unknown>>): string {
  if (typeof node === "string" && node !== "") return node;
  throw new OciError("REQUEST_INVALID", `node is to be a node's name or peer id: ${NODE_EXAMPLE}`);
}

function flagOf(wish: Readonly<Record<string, unknown>>, name: string): boolean {
  const { [name]: flag = false } = wish;
  if (typeof flag === "boolean") return flag;
  throw new OciError("REQUEST_INVALID", `${name} is to be true or false`);
}

function parseTtl(ttl: unknown): number {
  const match = typeof ttl === "string" ? TTL.exec(ttl) : null;
  const ttlMs = match === null ? ttl : Number(match[1]) * (UNITS[match[2] ?? ""] ?? Number.NaN);
  if (typeof ttlMs === "number" && Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= TTL_MS_MAX) return ttlMs;
  throw new OciError("REQUEST_INVALID", "ttl is to be a duration up to 365d, like 30m, 24h or 7d");
}
