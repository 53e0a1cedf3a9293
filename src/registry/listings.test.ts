import { afterEach, expect, test } from "vitest";
import {
  ANYONE,
  descriptor,
  imageOf,
  json,
  NEVER,
  pushBlob,
  pushImage,
  putManifest,
  TestCluster,
  type TestNode,
} from "../../test/registry/cluster.ts";
import { type Digest, digestOf, hexOf } from "../core/digest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../core/media-types.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";

const REPOSITORY = "team/app" as RepositoryName;
const EMPTY = Buffer.from("{}");

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function start(): Promise<TestNode> {
  cluster = await TestCluster.start({ acks: 1 });
  return cluster.node(1);
}

async function referrers(node: TestNode, subject: Digest, page: { after?: string; limit?: number; artifactType?: string } = {}) {
  const request = { after: "", limit: 100, artifactType: undefined, ...page };
  return (await node.registry.referrers(ANYONE, REPOSITORY, subject, request, NEVER)).value;
}

test("tags and repositories come in pages, sorted, with what the next one starts after (http-rules 16)", async () => {
  const node = await start();
  for (const tag of ["b", "a", "c"]) await pushImage(node, REPOSITORY, tag as Tag);
  await pushImage(node, "alpha" as RepositoryName, "x" as Tag);
  const tags = async (after: string, limit: number) => (await node.registry.tags(ANYONE, REPOSITORY, { after, limit }, NEVER)).value;
  expect(await tags("", 2)).toEqual({ items: ["a", "b"], next: "b" });
  expect(await tags("b", 2)).toEqual({ items: ["c"], next: undefined });
  expect(await tags("", 3)).toEqual({ items: ["a", "b", "c"], next: undefined });
  const repositories = async (after: string) => (await node.registry.repositories(ANYONE, { after, limit: 1 }, NEVER)).value;
  expect(await repositories("")).toEqual({ items: ["alpha"], next: "alpha" });
  expect(await repositories("alpha")).toEqual({ items: [REPOSITORY], next: undefined });
});

test("tags of a repository that never was are NAME_UNKNOWN; of one that was emptied, none", async () => {
  const node = await start();
  const page = { after: "", limit: 10 };
  await expect(node.registry.tags(ANYONE, REPOSITORY, page, NEVER)).rejects.toMatchObject({ code: "NAME_UNKNOWN" });
  const digest = await pushImage(node, REPOSITORY, "a" as Tag);
  await node.registry.deleteManifest(ANYONE, REPOSITORY, { digest }, NEVER);
  expect((await node.registry.tags(ANYONE, REPOSITORY, page, NEVER)).value.items).toEqual([]);
});

test("http-rules 13: referrers of what nobody knows are none; of a subject that is not here, what names it", async () => {
  const node = await start();
  const subject = { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from("not here")), size: 8 };
  expect((await referrers(node, subject.digest)).items).toEqual([]);
  await pushBlob(node, REPOSITORY, EMPTY);
  const bytes = imageOf(EMPTY, [], { subject, artifactType: "application/x", annotations: { k: "v" } });
  const put = { repository: REPOSITORY, reference: { digest: digestOf(bytes) }, tags: [], mediaType: OCI_MANIFEST, bytes };
  expect((await node.registry.putManifest(ANYONE, put, NEVER)).subject).toBe(subject.digest);
  expect((await referrers(node, subject.digest)).items).toEqual([
    {
      digest: digestOf(bytes),
      mediaType: OCI_MANIFEST,
      sizeBytes: bytes.byteLength,
      artifactType: "application/x",
      annotations: { k: "v" },
    },
  ]);
  await node.registry.deleteManifest(ANYONE, REPOSITORY, { digest: digestOf(bytes) }, NEVER);
  expect((await referrers(node, subject.digest)).items).toEqual([]);
});

test("referrers are filtered before they are cut into pages", async () => {
  const node = await start();
  await pushBlob(node, REPOSITORY, EMPTY);
  const subject = { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from("s")), size: 1 };
  const put = (artifactType: string, n: number) =>
    putManifest(node, REPOSITORY, imageOf(EMPTY, [], { subject, artifactType, annotations: { n: String(n) } }));
  const wanted: Digest[] = [];
  for (let n = 0; n < 5; n += 1) {
    wanted.push(await put("application/wanted", n));
    await put("application/other", n);
  }
  wanted.sort();
  const filtered = { artifactType: "application/wanted", limit: 2 };
  const pages: (readonly string[])[] = [];
  for (let after: string | undefined = ""; after !== undefined; ) {
    const page = await referrers(node, subject.digest, { ...filtered, after });
    pages.push(page.items.map(({ digest }) => digest));
    after = page.next;
  }
  expect(pages).toEqual([wanted.slice(0, 2), wanted.slice(2, 4), wanted.slice(4)]);
  expect((await referrers(node, subject.digest)).items).toHaveLength(10);
});

test("http-rules 13: what an old fallback tag lists is folded in, once, and only what is there", async () => {
  const node = await start();
  await pushBlob(node, REPOSITORY, EMPTY);
  const subject = { mediaType: OCI_MANIFEST, digest: digestOf(Buffer.from("s")), size: 1 };
  const modern = imageOf(EMPTY, [], { subject, artifactType: "application/sig" });
  const old = imageOf(EMPTY, [], { annotations: { by: "an old client" } });
  await putManifest(node, REPOSITORY, modern);
  await putManifest(node, REPOSITORY, old);
  const unrelated = imageOf(EMPTY, [], { artifactType: "application/sbom" });
  await putManifest(node, REPOSITORY, unrelated);
  const fallback = json({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [
      { ...descriptor(old, OCI_MANIFEST), artifactType: "application/sig", annotations: { listed: "yes" } },
      descriptor(modern, OCI_MANIFEST),
      descriptor(unrelated, OCI_MANIFEST),
    ],
  });
  await putManifest(node, REPOSITORY, fallback, `sha256-${hexOf(subject.digest)}` as Tag, { mediaType: OCI_INDEX });
  const expected = [digestOf(old), digestOf(modern)].sort();
  const { items } = await referrers(node, subject.digest, { artifactType: "application/sig" });
  expect(items.map(({ digest }) => digest)).toEqual(expected);
  expect(items.find(({ digest }) => digest === digestOf(old))).toMatchObject({ sizeBytes: old.byteLength, annotations: { listed: "yes" } });
  const artifactType = "application/sig";
  const first = await referrers(node, subject.digest, { limit: 1, artifactType });
  expect(first).toMatchObject({ items: [{ digest: expected[0] }], next: expected[0] });
  const second = await referrers(node, subject.digest, { limit: 1, after: expected[0]!, artifactType });
  expect(second).toMatchObject({ items: [{ digest: expected[1] }], next: undefined });
  await node.registry.deleteManifest(ANYONE, REPOSITORY, { digest: digestOf(old) }, NEVER);
  expect((await referrers(node, subject.digest)).items.map(({ digest }) => digest)).toEqual([digestOf(modern), digestOf(unrelated)].sort());
});
