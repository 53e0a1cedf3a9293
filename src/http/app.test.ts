import { expect, test } from "vitest";
import { OciError } from "../core/errors.ts";
import { appDouble } from "./app-double.ts";

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
  expect(app.log.lines).toEqual([]); // a line for each probe would hide what matters
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
