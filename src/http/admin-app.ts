import { OciError } from "../core/errors.ts";
import type { Admin, ProjectRules } from "./admin.ts";
import { json } from "./answers.ts";
import { type WrapOptions, wrap } from "./app.ts";
import { readBody } from "./body.ts";
import type { Handler, HttpRequest, HttpResponse } from "./http.ts";
import { parseQuery } from "./query.ts";

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

const HOLD_EXAMPLE = '{"reason": "an audit of what is stored"}';
const PROJECT_EXAMPLE = '{"project": "team", "quota": {"bytes": 10737418240}, "immutableTags": ["v*"]}';
const TRASH_EXAMPLE = '{"repository": "team/app", "digest": "sha256:..."}';
const PATTERN = /^[\x21-\x7e]{1,255}$/;
const PATTERNS_MAX = 64;
const REASON_LENGTH_MAX = 512;

type Wish = Readonly<Record<string, unknown>>;
type Route = (admin: Admin, request: HttpRequest) => Promise<HttpResponse>;

const found = (answer: Promise<unknown>): Promise<HttpResponse> => answer.then((value) => json(200, value));
const onNode =
  (change: (admin: Admin, node: string, wish: Wish) => Promise<unknown>): Route =>
  async (admin, request) => {
    const wish = await wishOf(request);
    return found(change(admin, nodeOf(wish), wish));
  };

/** Below `/_roadstead/v1`: a path, and what answers each of its methods. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, Route>>>> = {
  "/status": { GET: (admin) => found(admin.status()) },
  "/tokens": {
    GET: async (admin) => json(200, { tokens: await admin.tokens() }),
    POST: createToken,
  },
  "/tokens/revoke": {
    POST: async (admin, request) => found(admin.revokeToken(tokenIdOf(await wishOf(request, TOKEN_ID_EXAMPLE)))),
  },
  "/audit": { GET: async (admin, request) => json(200, { entries: await admin.audit(limitOf(request)) }) },
  "/projects": {
    GET: async (admin) => json(200, { projects: await admin.projects() }),
    POST: async (admin, request) => {
      const wish = await wishOf(request, PROJECT_EXAMPLE);
      return found(admin.setProject(nameOf(wish, "project"), rulesOf(wish)));
    },
  },
  "/projects/delete": {
    POST: async (admin, request) => found(admin.deleteProject(nameOf(await wishOf(request, PROJECT_EXAMPLE), "project"))),
  },
  "/repositories/delete": {
    POST: async (admin, request) => found(admin.deleteRepository(nameOf(await wishOf(request, TRASH_EXAMPLE), "repository"))),
  },
  "/trash": {
    GET: async (admin, request) => json(200, { manifests: await admin.trash(parseQuery(request.query).get("repository") ?? "") }),
  },
  "/trash/restore": {
    POST: async (admin, request) => {
      const wish = await wishOf(request, TRASH_EXAMPLE);
      const [repository, digest] = [nameOf(wish, "repository"), nameOf(wish, "digest")];
      await admin.restore(repository, digest);
      return json(200, { repository, digest });
    },
  },
  "/gc": { GET: (admin) => found(admin.collector()) },
  "/gc/run": { POST: async (admin) => json(202, await admin.collect()) },
  "/gc/foresee": { GET: (admin) => found(admin.foreseeCollection()) },
  "/gc/verify": {
    GET: (admin) => found(admin.verification()),
    POST: async (admin) => json(202, await admin.verify()),
  },
  "/gc/hold": { POST: async (admin, request) => found(admin.holdCollector(reasonOf(await wishOf(request, HOLD_EXAMPLE)))) },
  "/gc/release": { POST: (admin) => found(admin.releaseCollector()) },
  "/recovery": {
    GET: (admin) => found(admin.recoveryPlan()),
    POST: async (admin, request) => json(202, await recover(admin, await wishOf(request, RECOVERY_EXAMPLE))),
  },
  "/blobs/lost": { GET: async (admin) => json(200, { blobs: await admin.lostBlobs() }) },
  "/nodes/drain": { POST: onNode((admin, node) => admin.drain(node)) },
  "/nodes/undrain": { POST: onNode((admin, node) => admin.undrain(node)) },
  "/nodes/remove": {
    POST: onNode((admin, node, wish) => admin.remove(node, { lost: flagOf(wish, "lost"), force: flagOf(wish, "force") })),
  },
  "/leader": {
    POST: async (admin, request) => {
      const wish = await wishOf(request);
      return found(admin.transferLeader("node" in wish ? nodeOf(wish) : undefined));
    },
  },
};
const PREFIX = "/_roadstead/v1";

/** `/_roadstead/v1`: served on the unix socket (0600) alone, until there are users. */
export function createAdminApp(admin: Admin, options: WrapOptions): Handler {
  return wrap(options, async (request, _signal, seen) => {
    seen.label = "admin";
    const path = request.path.startsWith(PREFIX) ? request.path.slice(PREFIX.length) : "";
    const methods = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined;
    if (methods === undefined) throw new OciError("NOT_FOUND", "the admin API has no such path");
    const route = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
    if (route !== undefined) return route(admin, request);
    const allow = Object.keys(methods).join(", ");
    throw new OciError("METHOD_NOT_ALLOWED", `${request.path} takes ${allow}`, { allow });
  });
}

async function createToken(admin: Admin, request: HttpRequest): Promise<HttpResponse> {
  const { uses = 1, ttl = "1h" } = await wishOf(request, TOKEN_EXAMPLE);
  if (typeof uses !== "number" || !Number.isInteger(uses) || uses < 1 || uses > USES_MAX) {
    throw new OciError("REQUEST_INVALID", `uses is to be a whole number from 1 to ${USES_MAX}`);
  }
  return json(201, await admin.createToken({ uses, ttlMs: parseTtl(ttl) }), ["Cache-Control", "no-store"]);
}

/** The body, an object in JSON; none is an empty one. */
async function wishOf(request: HttpRequest, example = NODE_EXAMPLE): Promise<Wish> {
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
  return wish as Wish;
}

function recover(admin: Admin, { clusterId, lost }: Wish): ReturnType<Admin["recover"]> {
  if (typeof clusterId === "string" && Array.isArray(lost) && lost.every((name) => typeof name === "string")) {
    return admin.recover(clusterId, lost);
  }
  throw new OciError("REQUEST_INVALID", `a recovery names the cluster, and the nodes that are lost: ${RECOVERY_EXAMPLE}`);
}

function nameOf(wish: Wish, field: string): string {
  const { [field]: name } = wish;
  if (typeof name === "string" && name !== "") return name;
  throw new OciError("REQUEST_INVALID", `${field} is to be given, as a text`);
}

function rulesOf({ immutableTags, protectedRepositories, quota }: Wish): Partial<ProjectRules> {
  return {
    ...(immutableTags === undefined ? {} : { immutableTags: patternsOf("immutableTags", immutableTags) }),
    ...(protectedRepositories === undefined ? {} : { protectedRepositories: patternsOf("protectedRepositories", protectedRepositories) }),
    ...(quota === undefined ? {} : { quota: quotaOf(quota) }),
  };
}

function patternsOf(field: string, value: unknown): readonly string[] {
  const isGood = (pattern: unknown): pattern is string => typeof pattern === "string" && PATTERN.test(pattern);
  if (Array.isArray(value) && value.length <= PATTERNS_MAX && value.every(isGood)) return value;
  throw new OciError("REQUEST_INVALID", `${field} is to be a list of at most ${PATTERNS_MAX} patterns such as "v*"`);
}

/** A limit that is null is none. */
function quotaOf(value: unknown): ProjectRules["quota"] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new OciError("REQUEST_INVALID", `quota is to be an object: ${PROJECT_EXAMPLE}`);
  }
  const limits = Object.entries(value).map(([name, limit]) => {
    const isLimit = limit === null || (typeof limit === "number" && Number.isSafeInteger(limit) && limit >= 0);
    if (!["bytes", "softBytes", "repositories"].includes(name) || !isLimit) {
      throw new OciError("REQUEST_INVALID", `quota has bytes, softBytes and repositories, each a whole number or null: ${PROJECT_EXAMPLE}`);
    }
    return [name, limit ?? undefined];
  });
  return Object.fromEntries(limits) as ProjectRules["quota"];
}

function reasonOf({ reason = "" }: Wish): string {
  if (typeof reason === "string" && reason.length <= REASON_LENGTH_MAX) return reason;
  throw new OciError("REQUEST_INVALID", `reason is to be a text of at most ${REASON_LENGTH_MAX} characters: ${HOLD_EXAMPLE}`);
}

function tokenIdOf({ id }: Wish): string {
  if (typeof id === "string" && id !== "") return id;
  throw new OciError("REQUEST_INVALID", `id is to be the id of a token: ${TOKEN_ID_EXAMPLE}`);
}

function limitOf(request: HttpRequest): number {
  const limit = Number(parseQuery(request.query).get("limit") ?? AUDIT_ENTRIES);
  if (Number.isInteger(limit) && limit >= 1 && limit <= AUDIT_ENTRIES_MAX) return limit;
  throw new OciError("REQUEST_INVALID", `limit is to be a whole number from 1 to ${AUDIT_ENTRIES_MAX}`);
}

function nodeOf({ node }: Wish): string {
  if (typeof node === "string" && node !== "") return node;
  throw new OciError("REQUEST_INVALID", `node is to be a node's name or peer id: ${NODE_EXAMPLE}`);
}

function flagOf(wish: Wish, name: string): boolean {
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
