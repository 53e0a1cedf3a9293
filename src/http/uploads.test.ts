import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { type AppDouble, appDouble } from "./app-double.ts";

const BYTES = Buffer.from("the bytes of a layer");
const DIGEST = digestOf(BYTES);
const START = "/v2/team/app/blobs/uploads/";

async function begin(app: AppDouble): Promise<string> {
  const answer = await app.ask("POST", START);
  expect(answer.status).toBe(202);
  return answer.headers.get("location") as string;
}

test("http-rule 5, 6, 7: POST begins a session: 202, relative Location, Range 0-0, its id, the least chunk", async () => {
  const answer = await appDouble().ask("POST", START);
  expect(answer.status).toBe(202);
  expect(answer.headers.get("location")).toBe("/v2/team/app/blobs/uploads/session-1");
  expect(answer.headers.get("range")).toBe("0-0");
  expect(answer.headers.get("docker-upload-uuid")).toBe("session-1");
  expect(Number(answer.headers.get("oci-chunk-min-length"))).toBeGreaterThan(0);
});

test("http-rule 6: PATCH may be one stream with neither Content-Length nor Content-Range", async () => {
  const app = appDouble();
  const location = await begin(app);
  const answer = await app.ask("PATCH", location, { body: [BYTES, BYTES], chunked: true });
  expect(answer.status).toBe(202);
  expect(answer.headers.get("range")).toBe(`0-${2 * BYTES.byteLength - 1}`);
  expect(answer.headers.get("location")).toBe(location);
  expect(answer.headers.get("docker-upload-uuid")).toBe("session-1");
});

test("http-rule 7: a chunk out of order is 416 with the Range that stands, on PATCH and on PUT; it then goes on", async () => {
  const app = appDouble();
  const location = await begin(app);
  const chunk = (method: string, range: string, suffix = "") =>
    app.ask(method, location + suffix, { headers: { "content-range": range }, body: BYTES.subarray(0, 10) });
  expect((await chunk("PATCH", "0-9")).status).toBe(202);
  for (const [method, suffix] of [
    ["PATCH", ""],
    ["PUT", `?digest=${DIGEST}`],
  ] as const) {
    const late = await chunk(method, "15-24", suffix);
    expect([late.status, late.code]).toEqual([416, "RANGE_INVALID"]);
    expect(late.headers.get("range")).toBe("0-9");
    expect(late.headers.get("location")).toBe(location);
  }
  const status = await app.ask("GET", location);
  expect([status.status, status.headers.get("range")]).toEqual([204, "0-9"]);
  const last = await app.ask("PUT", `${location}?digest=${DIGEST}`, {
    headers: { "content-range": `10-${BYTES.byteLength - 1}` },
    body: BYTES.subarray(10),
  });
  expect(last.status).toBe(201);
});

test("http-rule 7: DELETE ends a session: 204, and it is unknown afterwards", async () => {
  const app = appDouble();
  const location = await begin(app);
  expect((await app.ask("DELETE", location)).status).toBe(204);
  for (const method of ["GET", "DELETE", "PATCH"]) {
    const answer = await app.ask(method, location);
    expect([answer.status, answer.code]).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
  }
});

test("http-rule 8, 9: PUT with the whole body after POST is 201 with Location and digest", async () => {
  const app = appDouble();
  const location = await begin(app);
  const answer = await app.ask("PUT", `${location}?digest=${encodeURIComponent(DIGEST)}`, { body: BYTES });
  expect(answer.status).toBe(201);
  expect(answer.headers.get("location")).toBe(`/v2/team/app/blobs/${DIGEST}`);
  expect(answer.headers.get("docker-content-digest")).toBe(DIGEST);
  expect((await app.ask("GET", `/v2/team/app/blobs/${DIGEST}`)).body.equals(BYTES)).toBe(true);
});

test("http-rule 9: one POST with digest= and the body is 201; the empty blob too", async () => {
  const app = appDouble();
  for (const bytes of [BYTES, Buffer.alloc(0)]) {
    const answer = await app.ask("POST", `${START}?digest=${digestOf(bytes)}`, { body: bytes });
    expect(answer.status).toBe(201);
    expect(answer.headers.get("docker-content-digest")).toBe(digestOf(bytes));
  }
  expect(app.registry.uploads.size).toBe(0);
});

test("http-rule 9: POST with digest= and no body begins a session", async () => {
  expect((await appDouble().ask("POST", `${START}?digest=${DIGEST}`)).status).toBe(202);
});

test("a single POST whose body ends early leaves no session behind", async () => {
  const app = appDouble();
  const answer = await app.ask("POST", `${START}?digest=${DIGEST}`, { headers: { "content-length": "500" }, body: BYTES });
  expect([answer.status, answer.code]).toEqual([400, "SIZE_INVALID"]);
  expect(app.registry.uploads.size).toBe(0);
});

test("a body of another digest is 400 DIGEST_INVALID and no blob", async () => {
  const app = appDouble();
  const location = await begin(app);
  const answer = await app.ask("PUT", `${location}?digest=${digestOf(Buffer.from("other"))}`, { body: BYTES });
  expect([answer.status, answer.code]).toEqual([400, "DIGEST_INVALID"]);
  expect(app.registry.blobs.size).toBe(0);
});

test.each(["", "?digest=", "?digest=sha256:abc", "?digest=md5:abc", `?digest=${DIGEST.toUpperCase()}`])(
  "PUT with the query '%s' is 400",
  async (query) => {
    const app = appDouble();
    const answer = await app.ask("PUT", (await begin(app)) + query, { body: BYTES });
    expect([answer.status, answer.code]).toEqual([400, "DIGEST_INVALID"]);
  },
);

test("http-rule 10: a mount is 201 with Location and digest, and where it cannot be a session: 202", async () => {
  const app = appDouble();
  app.registry.addBlob("other/app", BYTES);
  const mounted = await app.ask("POST", `${START}?mount=${DIGEST}&from=other/app`);
  expect(mounted.status).toBe(201);
  expect(mounted.headers.get("location")).toBe(`/v2/team/app/blobs/${DIGEST}`);
  expect(mounted.headers.get("docker-content-digest")).toBe(DIGEST);
  const anonymous = await app.ask("POST", `/v2/third/app/blobs/uploads/?mount=${DIGEST}`);
  expect(anonymous.status).toBe(201);
  for (const query of [`mount=${digestOf(Buffer.from("x"))}&from=other/app`, `mount=${DIGEST}&from=no/such`]) {
    const session = await app.ask("POST", `${START}?${query}`);
    expect(session.status).toBe(202);
    expect(session.headers.get("location")).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/session-/);
  }
  expect((await app.ask("POST", `${START}?mount=junk&from=other/app`)).code).toBe("DIGEST_INVALID");
  expect((await app.ask("POST", `${START}?mount=${DIGEST}&from=../etc`)).code).toBe("NAME_INVALID");
});

test("distribution-spec 1.1: digest-algorithm= names what is hashed; sha512 goes through, another is 400", async () => {
  const app = appDouble();
  const asked: string[] = [];
  const { startUpload } = app.registry;
  app.registry.startUpload = (caller, repository, algorithm, signal) => {
    asked.push(algorithm);
    return startUpload(caller, repository, algorithm, signal);
  };
  const long = digestOf(BYTES, "sha512");
  expect((await app.ask("POST", `${START}?digest-algorithm=sha512`)).status).toBe(202);
  expect((await app.ask("POST", `${START}?digest=${long}`, { body: BYTES })).status).toBe(201);
  expect((await app.ask("POST", START)).status).toBe(202);
  expect(asked).toEqual(["sha512", "sha512", "sha256"]);
  expect((await app.ask("POST", `${START}?digest-algorithm=md5`)).code).toBe("DIGEST_INVALID");
});

test.each(["x", "5", "9-0", "-1-4", "bytes */10", "0-99999999999999999999"])("Content-Range '%s' is 400", async (range) => {
  const app = appDouble();
  const answer = await app.ask("PATCH", await begin(app), { headers: { "content-range": range }, body: BYTES });
  expect([answer.status, answer.code]).toEqual([400, "BLOB_UPLOAD_INVALID"]);
});

test("a Content-Range of another size than Content-Length is 400 SIZE_INVALID", async () => {
  const app = appDouble();
  const answer = await app.ask("PATCH", await begin(app), { headers: { "content-range": "0-4" }, body: BYTES });
  expect([answer.status, answer.code]).toEqual([400, "SIZE_INVALID"]);
});

test("http-rule 21: a client that expects 100 is told of a lost session and of a wrong offset before its body is read", async () => {
  const app = appDouble();
  const location = await begin(app);
  let reads = 0;
  const onRead = () => {
    reads += 1;
  };
  const expecting = { expect: "100-continue" };
  const { appendUpload } = app.registry;
  const eager = async <T extends { body: AsyncIterable<Uint8Array> }>(chunk: T): Promise<T> => {
    const chunks: Uint8Array[] = [];
    for await (const bytes of chunk.body) chunks.push(bytes);
    return { ...chunk, body: Readable.from(chunks) };
  };
  // a node that forwards to the session's owner may read before it knows
  app.registry.appendUpload = async (caller, chunk, signal) => appendUpload(caller, await eager(chunk), signal);
  for (const [method, suffix] of [
    ["PATCH", ""],
    ["PUT", `?digest=${DIGEST}`],
  ] as const) {
    const lost = await app.ask(method, `${START}no-such${suffix}`, { headers: expecting, body: BYTES, onRead });
    expect(lost.code).toBe("BLOB_UPLOAD_UNKNOWN");
    const headers = { ...expecting, "content-range": `7-${6 + BYTES.byteLength}` };
    expect((await app.ask(method, location + suffix, { headers, body: BYTES, onRead })).status).toBe(416);
  }
  expect(reads).toBe(0);
  expect((await app.ask("PATCH", location, { headers: expecting, body: BYTES, onRead })).status).toBe(202);
  expect(reads).toBe(1);
});

test("a full disk is 507 with the session kept", async () => {
  const app = appDouble();
  const location = await begin(app);
  app.registry.failure = new OciError("INSUFFICIENT_STORAGE", "the disk is full");
  expect((await app.ask("PATCH", location, { body: BYTES })).status).toBe(507);
  app.registry.failure = Object.assign(new Error("write"), { code: "ENOSPC" });
  expect((await app.ask("PATCH", location, { body: BYTES })).status).toBe(507);
  expect((await app.ask("GET", location)).status).toBe(204);
});

test("http-rule 21: a PUT that is sent again with Expect is left to the registry, which remembers finished sessions", async () => {
  const app = appDouble();
  app.registry.uploadProgress = async () => {
    throw new OciError("BLOB_UPLOAD_UNKNOWN", "it is finished");
  };
  app.registry.finishUpload = async (_caller, chunk) => ({ digest: chunk.digest });
  const answer = await app.ask("PUT", `${START}finished?digest=${DIGEST}`, { headers: { expect: "100-continue" }, body: BYTES });
  expect(answer.status).toBe(201);
});

test("a node that stops begins no upload: 503 with Retry-After; those that have begun go on", async () => {
  const app = appDouble();
  const location = await begin(app);
  app.ready.uploads = false;
  for (const target of [START, `${START}?digest=${DIGEST}`, `${START}?mount=${DIGEST}&from=team/other`]) {
    const refused = await app.ask("POST", target, { body: BYTES });
    expect([refused.status, refused.code, refused.headers.get("retry-after")]).toEqual([503, "UNAVAILABLE", "1"]);
  }
  expect((await app.ask("PATCH", location, { body: BYTES })).status).toBe(202);
  expect((await app.ask("PUT", `${location}?digest=${DIGEST}`)).status).toBe(201);
});
