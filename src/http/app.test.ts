import { expect, test } from "vitest";
import { OciError } from "../core/errors.ts";
import { seededRandom } from "../core/random.ts";
import { createAdminApp } from "./admin-app.ts";
import { appDouble, ask, LogDouble } from "./app-double.ts";
import { DEFAULT_LIMITS } from "./limits.ts";

test("distribution-spec 1.1 end-1: /v2/ is 200 with the API version, and HEAD has its length", async () => {
  const app = appDouble();
  for (const path of ["/v2/", "/v2"]) {
    const answer = await app.ask("GET", path);
    expect([answer.status, answer.headers.get("docker-distribution-api-version")]).toEqual([200, "registry/2.0"]);
    expect((await app.ask("HEAD", path)).headers.get("content-length")).toBe(answer.headers.get("content-length"));
  }
});

test("http-rule 26: every refusal is the spec's JSON with a request id of its own, a route's 404 and a 500 too", async () => {
  const app = appDouble();
  const ids = new Set<string>();
  for (const [target, status, code] of [
    ["/", 404, "NOT_FOUND"],
    ["/v2/a/b/c", 404, "NOT_FOUND"],
    ["/v2/UPPER/tags/list", 400, "NAME_INVALID"],
    ["/v2/none/tags/list", 404, "NAME_UNKNOWN"],
    ["/v2/none/tags/list?n=%", 400, "REQUEST_INVALID"],
  ] as const) {
    const answer = await app.ask("GET", target);
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(answer.json).toEqual({ errors: [{ code, message: expect.any(String), detail: expect.any(Object) }] });
    ids.add(answer.headers.get("x-request-id") ?? "");
  }
  expect(ids.size).toBe(5);
});

test("http-rule 26: what we did not foresee is a 500 that tells nothing, and a logged error with its request id", async () => {
  const app = appDouble();
  app.registry.failure = new Error("secret of /var/lib");
  const answer = await app.ask("GET", "/v2/a/manifests/v1");
  expect([answer.status, answer.code]).toEqual([500, "INTERNAL"]);
  expect(answer.body.toString()).not.toContain("secret");
  const line = app.log.lines.find(({ level }) => level === "error");
  expect(line?.fields.requestId).toBe(answer.headers.get("x-request-id"));
  expect(line?.fields.err).toMatchObject({ message: "secret of /var/lib" });
});

test("http-rule 20: 503 and 429 carry Retry-After and a body", async () => {
  const app = appDouble();
  for (const [error, status, seconds] of [
    [new OciError("UNAVAILABLE", "no quorum"), 503, "1"],
    [new OciError("UNAVAILABLE", "no quorum", { retryAfterSeconds: 2.2 }), 503, "3"],
    [new OciError("TOOMANYREQUESTS", "slower"), 429, "1"],
  ] as const) {
    app.registry.failure = error;
    const answer = await app.ask("PUT", "/v2/a/manifests/v1", { body: "{}" });
    expect([answer.status, answer.headers.get("retry-after"), answer.code]).toEqual([status, seconds, error.code]);
  }
});

test("G3: a refusal by a node that is cut off carries the Warning where it says so", async () => {
  const app = appDouble();
  app.registry.failure = new OciError("MANIFEST_UNKNOWN", "not here", { freshness: "cutOff" });
  expect((await app.ask("GET", "/v2/a/manifests/v1")).headers.get("warning")).toBe('110 - "Response is Stale"');
});

test("http-rule 27: a target over 8 KiB is 414, whatever its path", async () => {
  const app = appDouble();
  for (const path of ["/v2/a/tags/list?last=", "/", "/healthz?"]) {
    const answer = await app.ask("GET", path + "x".repeat(8 * 1024));
    expect([answer.status, answer.code]).toEqual([414, "REQUEST_INVALID"]);
  }
});

test("a client that went away is no defect: no error is logged", async () => {
  const app = appDouble();
  const gone = Object.assign(new Error("gone"), { name: "AbortError" });
  const controller = new AbortController();
  app.registry.tags = async () => {
    controller.abort();
    throw gone;
  };
  const request = { method: "GET", target: "/v2/a/tags/list", path: "/v2/a/tags/list", query: "", remoteAddress: "" };
  await app.handler(
    {
      ...request,
      contentLength: undefined,
      hasBody: false,
      expectsContinue: false,
      header: () => undefined,
      body: (async function* () {})(),
    },
    controller.signal,
  );
  expect(app.log.lines.filter(({ level }) => level === "error")).toEqual([]);
});

test("the access log has writes and failures by default, all or failures alone where asked", async () => {
  for (const [accessLog, lines] of [
    ["writes", ["PUT", "GET"]],
    ["all", ["PUT", "GET", "GET"]],
    ["failures", ["GET"]],
  ] as const) {
    const app = appDouble({ accessLog });
    await app.ask("PUT", "/v2/a/manifests/v1", { body: "{}" });
    await app.ask("GET", "/v2/a/manifests/v1");
    app.registry.failure = new OciError("UNAVAILABLE", "no quorum");
    const failed = await app.ask("GET", "/v2/a/manifests/v1");
    expect(app.log.lines.map(({ fields }) => fields.method)).toEqual(lines);
    expect(app.log.lines.at(-1)).toMatchObject({ level: "warn", fields: { status: 503, requestId: failed.headers.get("x-request-id") } });
  }
});

test("/healthz is 200 also without a quorum; /readyz follows reads, /readyz?writes writes too", async () => {
  const app = appDouble();
  app.ready.writes = false;
  expect((await app.ask("GET", "/healthz")).status).toBe(200);
  expect((await app.ask("GET", "/readyz")).json).toEqual({ ready: true, reads: true, writes: false });
  const writes = await app.ask("GET", "/readyz?writes");
  expect([writes.status, writes.headers.get("retry-after")]).toEqual([503, "1"]);
  app.ready.reads = false;
  expect((await app.ask("GET", "/readyz")).status).toBe(503);
  Object.assign(app.ready, { reads: true, writes: true, stopping: true });
  const stopping = await app.ask("GET", "/readyz");
  expect([stopping.status, stopping.json]).toEqual([503, { ready: false, reads: true, writes: true, stopping: true }]);
  expect((await app.ask("GET", "/healthz")).status).toBe(200);
});

test("/metrics counts requests by route, method and status, their latency, bytes, and what the node says", async () => {
  let nowMs = 0;
  const clock = { wallMs: () => 0, monotonicMs: () => (nowMs += 1.5), after: () => () => undefined, every: () => () => undefined };
  const app = appDouble({ clock });
  const bytes = Buffer.alloc(100_000);
  const digest = app.registry.addBlob("a", bytes);
  await app.ask("GET", `/v2/a/blobs/${digest}`);
  await app.ask("HEAD", `/v2/a/blobs/${digest}`);
  await app.ask("GET", "/v2/a/manifests/none");
  await app.ask("POST", "/v2/a/blobs/uploads/");
  await app.ask("PATCH", "/v2/a/blobs/uploads/session-1", { body: bytes });
  await app.ask("BREW", "/pot");
  const page = await app.ask("GET", "/metrics");
  expect(page.headers.get("content-type")).toContain("text/plain");
  const lines = page.body.toString().split("\n");
  for (const line of [
    'roadstead_http_requests_total{route="blob",method="GET",status="200"} 1',
    'roadstead_http_requests_total{route="blob",method="HEAD",status="200"} 1',
    'roadstead_http_requests_total{route="manifest",method="GET",status="404"} 1',
    'roadstead_http_requests_total{route="none",method="other",status="404"} 1',
    'roadstead_http_request_duration_seconds_bucket{le="0.001",route="blob"} 0',
    'roadstead_http_request_duration_seconds_bucket{le="0.0025",route="blob"} 2',
    'roadstead_http_request_duration_seconds_bucket{le="+Inf",route="blob"} 2',
    'roadstead_http_request_duration_seconds_sum{route="blob"} 0.003',
    'roadstead_http_request_duration_seconds_count{route="blob"} 2',
    "roadstead_http_received_bytes_total 100000",
    "roadstead_raft_term 3",
    'roadstead_raft_turned_away{reason="malformed"} 6',
    "roadstead_raft_applied_index 40",
    'roadstead_raft_role{role="leader"} 1',
    'roadstead_raft_role{role="follower"} 0',
    "roadstead_blob_bytes 1234",
    "roadstead_disk_free_bytes 900",
    "roadstead_disk_reserve_bytes 1000",
    "roadstead_disk_low 1",
    "roadstead_peers 2",
    "roadstead_blobs_under_replicated 7",
    "roadstead_bytes_under_replicated 70",
    "roadstead_blobs_moving 8",
    "roadstead_bytes_moving 80",
    "roadstead_blobs_quarantined 9",
    "roadstead_repair_sent_bytes 11",
    "roadstead_move_sent_bytes 12",
    "roadstead_scrub_running 1",
    "roadstead_scrub_done 0.25",
    "roadstead_scrub_read_bytes 13",
    "roadstead_scrub_bad_copies 14",
    "roadstead_scrub_ended_timestamp_seconds 4",
  ]) {
    expect(lines).toContain(line);
  }
  const sent = lines.find((line) => line.startsWith("roadstead_http_sent_bytes_total "));
  expect(Number(sent?.split(" ")[1])).toBeGreaterThanOrEqual(100_000);
  const again = (await app.ask("GET", "/metrics")).body.toString();
  expect(again).toContain('roadstead_http_requests_total{route="blob",method="GET",status="200"} 1\n'); // a scrape adds nothing
});

const COLLECTED = { manifests: 1, links: 2, blobs: 3, freed: [{ node: "n1", bytes: 4 }] };
const COLLECTOR = { held: undefined, running: false, here: undefined, failure: undefined, condemned: 0, awaited: [], runs: [] };
const TOKEN = { id: "i", state: "good", usesLeft: 1, msLeft: 60_000 } as const;

function adminDouble() {
  const wishes: unknown[] = [];
  const none = { blobs: 0, bytes: 0 };
  const work = { lostBlobs: 0, underReplicated: none, moving: none, quarantined: 0, tasks: [] };
  const status = { clusterId: "c", leader: "n1", commitIndex: 7, cutOff: false, nodes: [], ...work, warnings: ["one copy only"] };
  const handler = createAdminApp(
    {
      status: async () => status,
      createToken: async (wish) => {
        wishes.push(wish);
        return { id: "i", token: "t", join: ["/ip4/127.0.0.1/tcp/1"] };
      },
      tokens: async () => [TOKEN],
      revokeToken: async (id) => {
        wishes.push({ revoke: id });
        return { ...TOKEN, state: "revoked" };
      },
      collector: async () => COLLECTOR,
      collect: async () => COLLECTOR,
      foreseeCollection: async () => COLLECTED,
      holdCollector: async (reason) => ({ ...COLLECTOR, held: reason }),
      releaseCollector: async () => COLLECTOR,
      audit: async (limit) => [{ number: limit, at: "", node: "n1", action: "join.refused", target: "p", detail: "wrong" }],
      recoveryPlan: async () => ({ clusterId: "c", chosen: "n1", survivors: [], lost: [{ name: "n2", http: "" }], lostBlobs: 3 }),
      recover: async (clusterId, lost) => {
        wishes.push({ recover: clusterId, lost });
        return { clusterId: "d", leader: "n1" };
      },
      lostBlobs: async () => [{ digest: "sha256:1", repositories: ["a"] }],
      drain: async (node) => {
        wishes.push({ drain: node });
        return { node, copies: 4 };
      },
      undrain: async (node) => {
        wishes.push({ undrain: node });
        return { node, copies: 4 };
      },
      remove: async (node, how) => {
        wishes.push({ remove: node, ...how });
        return { node, copies: 0 };
      },
      transferLeader: async (node) => {
        wishes.push({ lead: node });
        return { leader: node ?? "n2" };
      },
    },
    {
      log: new LogDouble(),
      random: seededRandom(1),
      clock: { wallMs: () => 0, monotonicMs: () => 0, after: () => () => undefined, every: () => () => undefined },
      limits: DEFAULT_LIMITS,
      tally: undefined,
      accessLog: "writes",
    },
  );
  return { handler, wishes, status };
}

test("the admin API answers the cluster's status and makes tokens", async () => {
  const { handler, wishes, status } = adminDouble();
  expect((await ask(handler, "GET", "/_roadstead/v1/status")).json).toEqual(status);
  const made = await ask(handler, "POST", "/_roadstead/v1/tokens", { body: '{"uses":3,"ttl":"2h"}' });
  expect([made.status, made.json]).toEqual([201, { id: "i", token: "t", join: ["/ip4/127.0.0.1/tcp/1"] }]);
  expect(made.headers.get("cache-control")).toBe("no-store");
  await ask(handler, "POST", "/_roadstead/v1/tokens");
  await ask(handler, "POST", "/_roadstead/v1/tokens", { body: '{"ttl":1500}' });
  expect(wishes).toEqual([
    { uses: 3, ttlMs: 7_200_000 },
    { uses: 1, ttlMs: 3_600_000 },
    { uses: 1, ttlMs: 1_500 },
  ]);
});

test("the admin API drains, removes and hands over, and refuses a wish that names no node", async () => {
  const { handler, wishes } = adminDouble();
  const post = async (path: string, body: string) => {
    const { status, json } = await ask(handler, "POST", `/_roadstead/v1/${path}`, { body });
    return [status, json];
  };
  expect(await post("nodes/drain", '{"node":"n1"}')).toEqual([200, { node: "n1", copies: 4 }]);
  expect(await post("nodes/undrain", '{"node":"n1"}')).toEqual([200, { node: "n1", copies: 4 }]);
  expect(await post("nodes/remove", '{"node":"n1","lost":true}')).toEqual([200, { node: "n1", copies: 0 }]);
  expect(await post("leader", '{"node":"n3"}')).toEqual([200, { leader: "n3" }]);
  expect(await post("leader", "")).toEqual([200, { leader: "n2" }]);
  const before = [...wishes];
  expect(before).toEqual([
    { drain: "n1" },
    { undrain: "n1" },
    { remove: "n1", lost: true, force: false },
    { lead: "n3" },
    { lead: undefined },
  ]);
  for (const path of ["nodes/drain", "nodes/undrain", "nodes/remove", "leader"]) {
    for (const body of ["{", "[]", '{"node":7}', '{"node":""}']) expect((await post(path, body))[0], `${path} ${body}`).toBe(400);
    expect((await ask(handler, "GET", `/_roadstead/v1/${path}`)).status).toBe(405);
  }
  expect((await post("nodes/remove", '{"node":"n1","lost":1}'))[0]).toBe(400);
  expect(wishes).toEqual(before);
});

test.each([
  "{",
  "[]",
  "null",
  '{"uses":0}',
  '{"uses":1.5}',
  '{"uses":"1"}',
  '{"ttl":"1y"}',
  '{"ttl":0}',
  '{"ttl":"9999d"}',
  '{"ttl":null}',
])("the admin API refuses the wish %s by 400", async (body) => {
  const { handler, wishes } = adminDouble();
  const answer = await ask(handler, "POST", "/_roadstead/v1/tokens", { body });
  expect([answer.status, answer.code, wishes]).toEqual([400, "REQUEST_INVALID", []]);
});

test("the admin API is not the registry, and the registry's door is not the admin API", async () => {
  const { handler } = adminDouble();
  expect((await ask(handler, "GET", "/v2/")).status).toBe(404);
  expect((await ask(handler, "DELETE", "/_roadstead/v1/status")).headers.get("allow")).toBe("GET");
  expect((await appDouble().ask("GET", "/_roadstead/v1/status")).status).toBe(404);
});

test("the admin API lists and revokes tokens, and shows the latest of the audit trail", async () => {
  const { handler, wishes } = adminDouble();
  expect((await ask(handler, "GET", "/_roadstead/v1/tokens")).json).toEqual({ tokens: [TOKEN] });
  expect((await ask(handler, "POST", "/_roadstead/v1/tokens/revoke", { body: '{"id":"i"}' })).json).toMatchObject({ state: "revoked" });
  expect((await ask(handler, "POST", "/_roadstead/v1/tokens/revoke", { body: '{"id":7}' })).status).toBe(400);
  expect(wishes).toEqual([{ revoke: "i" }]);
  expect((await ask(handler, "GET", "/_roadstead/v1/audit")).json).toMatchObject({ entries: [{ number: 50, action: "join.refused" }] });
  expect((await ask(handler, "GET", "/_roadstead/v1/audit?limit=7")).json).toMatchObject({ entries: [{ number: 7 }] });
  for (const limit of ["0", "1001", "x"]) expect((await ask(handler, "GET", `/_roadstead/v1/audit?limit=${limit}`)).status).toBe(400);
});

test("the admin API plans a recovery and orders it, and lists what is lost", async () => {
  const { handler, wishes } = adminDouble();
  expect((await ask(handler, "GET", "/_roadstead/v1/recovery")).json).toMatchObject({ clusterId: "c", chosen: "n1", lostBlobs: 3 });
  const ordered = await ask(handler, "POST", "/_roadstead/v1/recovery", { body: '{"clusterId":"c","lost":["n2"]}' });
  expect([ordered.status, ordered.json]).toEqual([202, { clusterId: "d", leader: "n1" }]);
  for (const body of ["", '{"clusterId":"c"}', '{"clusterId":"c","lost":"n2"}', '{"lost":["n2"]}', '{"clusterId":"c","lost":[2]}'])
    expect((await ask(handler, "POST", "/_roadstead/v1/recovery", { body })).status, body).toBe(400);
  expect(wishes).toEqual([{ recover: "c", lost: ["n2"] }]);
  expect((await ask(handler, "GET", "/_roadstead/v1/blobs/lost")).json).toEqual({ blobs: [{ digest: "sha256:1", repositories: ["a"] }] });
});

test("the admin API shows, runs, foresees, holds and releases the garbage collector", async () => {
  const { handler } = adminDouble();
  const shown = { running: false, condemned: 0, awaited: [], runs: [] };
  expect((await ask(handler, "GET", "/_roadstead/v1/gc")).json).toEqual(shown);
  const run = await ask(handler, "POST", "/_roadstead/v1/gc/run");
  expect([run.status, run.json]).toEqual([202, shown]);
  expect((await ask(handler, "GET", "/_roadstead/v1/gc/foresee")).json).toEqual(COLLECTED);
  expect((await ask(handler, "POST", "/_roadstead/v1/gc/hold", { body: '{"reason":"an audit"}' })).json).toEqual({
    ...shown,
    held: "an audit",
  });
  expect((await ask(handler, "POST", "/_roadstead/v1/gc/hold", { body: '{"reason":7}' })).status).toBe(400);
  expect((await ask(handler, "POST", "/_roadstead/v1/gc/release")).json).toEqual(shown);
  const wrong = await ask(handler, "DELETE", "/_roadstead/v1/gc/run");
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
});
