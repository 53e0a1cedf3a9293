import { expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../core/media-types.ts";
import { type AppDouble, appDouble } from "./app-double.ts";

const SUBJECT = `sha256:${"a".repeat(64)}`;
// odd spacing on purpose: it must come back as it is
const MANIFEST = `{ "schemaVersion":2,\n"mediaType":"${OCI_MANIFEST}",  "subject": {"digest":"${SUBJECT}"} }`;
const DIGEST = digestOf(Buffer.from(MANIFEST));

function put(app: AppDouble, reference: string, headers: Record<string, string> = {}, body = MANIFEST) {
  return app.ask("PUT", `/v2/team/app/manifests/${reference}`, { headers: { "content-type": OCI_MANIFEST, ...headers }, body });
}

test("http-rule 8, 13, 15: a manifest's PUT answers 201 with relative Location, digest, ETag and OCI-Subject", async () => {
  const answer = await put(appDouble(), "v1");
  expect(answer.status).toBe(201);
  expect(answer.headers.get("location")).toBe(`/v2/team/app/manifests/${DIGEST}`);
  expect(answer.headers.get("docker-content-digest")).toBe(DIGEST);
  expect(answer.headers.get("oci-subject")).toBe(SUBJECT);
  expect(answer.headers.get("etag")).toBe(`"${DIGEST}"`);
  expect(answer.headers.get("content-length")).toBe("0");
});

test("http-rule 12: a manifest comes back byte for byte, and parameters of its Content-Type are passed over", async () => {
  const app = appDouble();
  await put(app, "v1", { "content-type": `${OCI_MANIFEST}; charset=utf-8` });
  for (const reference of ["v1", DIGEST]) {
    const answer = await app.ask("GET", `/v2/team/app/manifests/${reference}`);
    expect(answer.status).toBe(200);
    expect(answer.body.toString()).toBe(MANIFEST);
    expect(answer.headers.get("content-type")).toBe(OCI_MANIFEST);
    expect(answer.headers.get("docker-content-digest")).toBe(DIGEST);
  }
});

test("http-rule 12: a PUT without a Content-Type takes the mediaType of the body", async () => {
  const app = appDouble();
  const index = `{"schemaVersion":2,"mediaType":"${OCI_INDEX}","manifests":[]}`;
  await app.ask("PUT", "/v2/team/app/manifests/v1", { body: index });
  expect((await app.ask("HEAD", "/v2/team/app/manifests/v1")).headers.get("content-type")).toBe(OCI_INDEX);
});

test("http-rule 12: over 4 MiB is 413 by Content-Length before a byte is read, and by count for a stream", async () => {
  const app = appDouble();
  let reads = 0;
  const promised = await app.ask("PUT", "/v2/a/manifests/v1", {
    headers: { "content-length": String(4 * 1024 * 1024 + 1) },
    body: "{}",
    onRead: () => {
      reads += 1;
    },
  });
  expect(promised.status).toBe(413);
  expect(promised.code).toBe("BODY_TOO_LARGE");
  expect(reads).toBe(0);
  const mebibyte = new Uint8Array(1024 * 1024);
  const streamed = await app.ask("PUT", "/v2/a/manifests/v1", { body: Array(5).fill(mebibyte), chunked: true });
  expect(streamed.status).toBe(413);
});

test("http-rule 11: HEAD of a manifest has length, type, digest and ETag of the GET, and no body", async () => {
  const app = appDouble();
  await put(app, "v1");
  const get = await app.ask("GET", "/v2/team/app/manifests/v1");
  const head = await app.ask("HEAD", "/v2/team/app/manifests/v1");
  expect(head.status).toBe(200);
  expect(head.body.byteLength).toBe(0);
  const names = ["content-length", "content-type", "docker-content-digest", "etag"];
  for (const name of names) expect(head.headers.get(name), name).toBe(get.headers.get(name));
});

test("http-rule 15: If-None-Match of what the client has is 304 without a body, of anything else 200", async () => {
  const app = appDouble();
  await put(app, "v1");
  for (const method of ["GET", "HEAD"]) {
    for (const tag of [`"${DIGEST}"`, `W/"${DIGEST}"`, `"x", "${DIGEST}"`, "*"]) {
      const answer = await app.ask(method, "/v2/team/app/manifests/v1", { headers: { "if-none-match": tag } });
      expect(answer.status).toBe(304);
      expect(answer.headers.get("etag")).toBe(`"${DIGEST}"`);
      expect(answer.headers.has("content-length")).toBe(false);
    }
  }
  const other = await app.ask("GET", "/v2/team/app/manifests/v1", { headers: { "if-none-match": `"${SUBJECT}"` } });
  expect(other.status).toBe(200);
});

test("http-rule 15: If-Match and If-None-Match of a tag PUT decide: 412 where they do not hold", async () => {
  const app = appDouble();
  expect((await put(app, "v1", { "if-match": "*" })).status).toBe(412);
  expect((await put(app, "v1", { "if-none-match": "*" })).status).toBe(201);
  const again = await put(app, "v1", { "if-none-match": "*" });
  expect(again.status).toBe(412);
  expect(again.code).toBe("PRECONDITION_FAILED");
  expect((await put(app, "v1", { "if-match": `"${DIGEST}"` })).status).toBe(201);
  expect((await put(app, "v1", { "if-match": `"${SUBJECT}"` })).status).toBe(412);
  expect((await put(app, "v1", { "if-match": '"of another server"' })).status).toBe(412);
  expect((await put(app, "v1", { "if-match": `W/"${DIGEST}"` })).status).toBe(412); // If-Match compares strongly
});

test("distribution-spec 1.1 end-7b: each tag= of a push by digest is set and answered by an OCI-Tag", async () => {
  const app = appDouble();
  const answer = await put(app, `${DIGEST}?tag=one&tag=two&tag=one`);
  expect(answer.status).toBe(201);
  expect(answer.headers.get("oci-tag")).toBe("one, two");
  expect((await app.ask("GET", "/v2/team/app/manifests/two")).status).toBe(200);
  const bad = await put(app, `${DIGEST}?tag=-x`);
  expect([bad.status, bad.code]).toEqual([400, "TAG_INVALID"]);
});

test("http-rule 17: DELETE of a tag removes the tag alone, of a digest the manifest: 202", async () => {
  const app = appDouble();
  await put(app, "v1");
  expect((await app.ask("DELETE", "/v2/team/app/manifests/v1")).status).toBe(202);
  expect((await app.ask("GET", "/v2/team/app/manifests/v1")).code).toBe("MANIFEST_UNKNOWN");
  expect((await app.ask("DELETE", `/v2/team/app/manifests/${DIGEST}`)).status).toBe(202);
  expect((await app.ask("GET", `/v2/team/app/manifests/${DIGEST}`)).status).toBe(404);
});

test("http-rule 23: a stored media type that no header can carry is served as bytes, never as a 500", async () => {
  const app = appDouble();
  await app.ask("PUT", "/v2/a/manifests/v1", { body: JSON.stringify({ mediaType: "x\r\nSet-Cookie: y" }) });
  const answer = await app.ask("GET", "/v2/a/manifests/v1");
  expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/octet-stream"]);
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
});

test("G3: what a node that is cut off answers carries Warning 110", async () => {
  const app = appDouble();
  await put(app, "v1");
  expect((await app.ask("GET", "/v2/team/app/manifests/v1")).headers.has("warning")).toBe(false);
  app.registry.cutOff = true;
  for (const target of ["/v2/team/app/manifests/v1", "/v2/team/app/tags/list", `/v2/team/app/referrers/${DIGEST}`, "/v2/_catalog"]) {
    expect((await app.ask("GET", target)).headers.get("warning"), target).toBe('110 - "Response is Stale"');
  }
});

test("http-rule 18: ns= on a pull is accepted", async () => {
  const app = appDouble();
  await put(app, "v1");
  expect((await app.ask("GET", "/v2/team/app/manifests/v1?ns=registry.example")).status).toBe(200);
});
