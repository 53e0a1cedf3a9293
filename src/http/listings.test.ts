import { expect, test } from "vitest";
import { digestOf } from "../core/digest.ts";
import { OCI_INDEX } from "../core/media-types.ts";
import { type Answer, type AppDouble, appDouble } from "./app-double.ts";

async function withTags(...tags: string[]): Promise<AppDouble> {
  const app = appDouble({ limits: { pageItems: 3 } });
  app.registry.addBlob("team/app", Buffer.from("x"));
  for (const tag of tags) await app.ask("PUT", `/v2/team/app/manifests/${tag}`, { body: "{}" });
  return app;
}

function next(answer: Answer): string | undefined {
  return /^<(\/[^>]+)>; rel="next"$/.exec(answer.headers.get("link") ?? "")?.[1];
}

test("http-rule 16: a repository without tags answers an empty list, never null", async () => {
  const app = await withTags();
  expect((await app.ask("GET", "/v2/team/app/tags/list")).json).toEqual({ name: "team/app", tags: [] });
});

test("http-rule 16: tags are sorted, and relative Links lead through all of them once", async () => {
  const app = await withTags("b", "a", "d", "c", "e", "B", "_x");
  const seen: string[] = [];
  let pages = 0;
  for (let target: string | undefined = "/v2/team/app/tags/list?n=2"; target !== undefined; pages += 1) {
    const answer: Answer = await app.ask("GET", target);
    expect(answer.status).toBe(200);
    seen.push(...(answer.json as { tags: string[] }).tags);
    target = next(answer);
  }
  expect(seen).toEqual(["B", "_x", "a", "b", "c", "d", "e"]);
  expect(pages).toBe(4);
});

test("http-rule 16: n=0 is empty without a Link; last= begins after it; a large n is held to the page limit by a Link", async () => {
  const app = await withTags("a", "b", "c", "d");
  const none = await app.ask("GET", "/v2/team/app/tags/list?n=0");
  expect(none.json).toEqual({ name: "team/app", tags: [] });
  expect(none.headers.has("link")).toBe(false);
  expect((await app.ask("GET", "/v2/team/app/tags/list?last=b")).json).toEqual({ name: "team/app", tags: ["c", "d"] });
  const all = await app.ask("GET", "/v2/team/app/tags/list?n=100");
  expect((all.json as { tags: string[] }).tags).toHaveLength(3);
  expect(next(all)).toBe("/v2/team/app/tags/list?n=3&last=c");
});

test.each(["-1", "x", "1.5", "1e3"])("n=%s is 400 PAGINATION_NUMBER_INVALID", async (n) => {
  const answer = await (await withTags()).ask("GET", `/v2/team/app/tags/list?n=${n}`);
  expect([answer.status, answer.code]).toEqual([400, "PAGINATION_NUMBER_INVALID"]);
});

test("tags of a repository that is not there are 404 NAME_UNKNOWN, with n=0 too", async () => {
  const app = appDouble();
  for (const query of ["", "?n=0"]) {
    const answer = await app.ask("GET", `/v2/no/such/tags/list${query}`);
    expect([answer.status, answer.code]).toEqual([404, "NAME_UNKNOWN"]);
  }
});

test("_catalog lists repositories by pages, and HEAD of a listing has the length of the GET", async () => {
  const app = appDouble();
  for (const name of ["c", "a/b", "b"]) app.registry.addBlob(name, Buffer.from("x"));
  const first = await app.ask("GET", "/v2/_catalog?n=2");
  expect(first.json).toEqual({ repositories: ["a/b", "b"] });
  expect(next(first)).toBe("/v2/_catalog?n=2&last=b");
  expect((await app.ask("GET", next(first) as string)).json).toEqual({ repositories: ["c"] });
  const head = await app.ask("HEAD", "/v2/_catalog?n=2");
  expect([head.status, head.headers.get("content-length")]).toEqual([200, first.headers.get("content-length")]);
});

const SUBJECT = digestOf(Buffer.from("subject"));

async function attach(app: AppDouble, artifactType: string, note: string): Promise<void> {
  const manifest = { subject: { digest: SUBJECT }, artifactType, annotations: { note } };
  const answer = await app.ask("PUT", `/v2/team/app/manifests/${digestOf(Buffer.from(JSON.stringify(manifest)))}`, {
    body: JSON.stringify(manifest),
  });
  expect(answer.status).toBe(201);
}

test("http-rule 13: referrers of anything, in any repository, are 200 with an index, empty where there are none", async () => {
  const answer = await appDouble().ask("GET", `/v2/no/such/referrers/${SUBJECT}`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe(OCI_INDEX);
  expect(answer.json).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
  expect(answer.headers.has("oci-filters-applied")).toBe(false);
});

test("http-rule 13: referrers carry artifactType and annotations; a filter is applied and said", async () => {
  const app = appDouble();
  await attach(app, "test/sbom", "one");
  await attach(app, "test/signature+json", "two");
  const all = await app.ask("GET", `/v2/team/app/referrers/${SUBJECT}`);
  expect((all.json as { manifests: unknown[] }).manifests).toHaveLength(2);
  const filtered = await app.ask("GET", `/v2/team/app/referrers/${SUBJECT}?artifactType=${encodeURIComponent("test/signature+json")}`);
  expect(filtered.headers.get("oci-filters-applied")).toBe("artifactType");
  const { manifests } = filtered.json as { manifests: { artifactType: string; annotations: unknown; size: number }[] };
  expect(manifests).toHaveLength(1);
  expect(manifests[0]).toMatchObject({ artifactType: "test/signature+json", annotations: { note: "two" }, size: expect.any(Number) });
});

test("http-rule 13: pages of referrers are linked, keep the filter, and stay under the byte limit", async () => {
  const app = appDouble({ limits: { referrersBytes: 2_000 } });
  for (let index = 0; index < 7; index += 1) await attach(app, "test/sbom", `${index}${"x".repeat(500)}`);
  let seen = 0;
  let pages = 0;
  for (let target: string | undefined = `/v2/team/app/referrers/${SUBJECT}?artifactType=test/sbom`; target !== undefined; pages += 1) {
    const answer: Answer = await app.ask("GET", target);
    expect(answer.body.byteLength).toBeLessThan(2_200);
    expect(answer.headers.get("oci-filters-applied")).toBe("artifactType");
    seen += (answer.json as { manifests: unknown[] }).manifests.length;
    target = next(answer);
  }
  expect(seen).toBe(7);
  expect(pages).toBeGreaterThan(2);
});

test("a referrers digest of bad syntax is 400", async () => {
  expect((await appDouble().ask("GET", "/v2/team/app/referrers/sha256:x")).code).toBe("DIGEST_INVALID");
});
