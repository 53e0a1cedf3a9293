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
import { digestOf } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../core/media-types.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";

const REPOSITORY = "team/app" as RepositoryName;
const V1 = "v1" as Tag;
const CONFIG = Buffer.from("{}");
const LAYER = Buffer.from("layer");
const IMAGE = imageOf(CONFIG, [LAYER]);

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function start(...options: Parameters<typeof TestCluster.start>): Promise<TestNode> {
  cluster = await TestCluster.start({ acks: 1, ...options[0] });
  return cluster.node(1);
}

async function pushBlobs(node: TestNode): Promise<void> {
  for (const bytes of [CONFIG, LAYER]) await pushBlob(node, REPOSITORY, bytes);
}

function indexOf(manifests: readonly object[], more: object = {}): Uint8Array {
  return json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...more });
}

test("a manifest stands with its tags, and what it names is counted", async () => {
  const node = await start();
  await pushBlobs(node);
  const put = {
    repository: REPOSITORY,
    reference: { digest: digestOf(IMAGE) },
    tags: [V1, "v2" as Tag],
    mediaType: OCI_MANIFEST,
    bytes: IMAGE,
  };
  expect(await node.registry.putManifest(ANYONE, put, NEVER)).toEqual({ digest: digestOf(IMAGE), subject: undefined, tags: [V1, "v2"] });
  const { catalog } = node.consensus;
  expect(catalog.tag(REPOSITORY, V1)?.digest).toBe(digestOf(IMAGE));
  expect(catalog.link(REPOSITORY, digestOf(LAYER))?.references).toBe(1);
  await putManifest(node, REPOSITORY, IMAGE, "v3" as Tag);
  expect(catalog.link(REPOSITORY, digestOf(LAYER))?.references).toBe(1);
  expect(await catalog.tags(REPOSITORY, "", 10)).toEqual([V1, "v2", "v3"]);
});

test("sha512 names a manifest as well as sha256, and neither takes other bytes", async () => {
  const node = await start();
  await pushBlobs(node);
  const sha512 = digestOf(IMAGE, "sha512");
  expect(await putManifest(node, REPOSITORY, IMAGE, sha512)).toBe(sha512);
  for (const digest of [digestOf(LAYER), digestOf(LAYER, "sha512")]) {
    await expect(putManifest(node, REPOSITORY, IMAGE, digest)).rejects.toMatchObject({ code: "DIGEST_INVALID" });
  }
});

test("what is missing, too large or of another size is refused with its digest, and changes nothing", async () => {
  const node = await start();
  await pushBlob(node, REPOSITORY, CONFIG);
  await expect(putManifest(node, REPOSITORY, IMAGE, V1)).rejects.toMatchObject({
    code: "MANIFEST_BLOB_UNKNOWN",
    detail: { digest: digestOf(LAYER) },
  });
  await pushBlob(node, "team/other" as RepositoryName, LAYER); // elsewhere does not count (G10)
  await expect(putManifest(node, REPOSITORY, IMAGE, V1)).rejects.toMatchObject({ code: "MANIFEST_BLOB_UNKNOWN" });
  await pushBlob(node, REPOSITORY, LAYER);
  const lying = json({ schemaVersion: 2, config: descriptor(CONFIG), layers: [{ ...descriptor(LAYER), size: 6 }] });
  await expect(putManifest(node, REPOSITORY, lying, V1)).rejects.toMatchObject({
    code: "MANIFEST_INVALID",
    detail: { size: 6, actual: 5 },
  });
  const large = Buffer.alloc(4 * 1024 * 1024 + 1, 32);
  await expect(putManifest(node, REPOSITORY, large, V1)).rejects.toMatchObject({ code: "BODY_TOO_LARGE" });
  expect(node.consensus.catalog.repository(REPOSITORY)).toBeUndefined();
});

test("what is missing is refused after a barrier alone, without an entry in every log; what the barrier brings is not missing", async () => {
  const node = await start();
  const puts = () => node.consensus.proposed.filter(({ type }) => type === "manifest.put");
  const children = Array.from({ length: 26_000 }, (_, at) => ({
    ...descriptor(IMAGE, OCI_MANIFEST),
    digest: digestOf(Buffer.from(`${at}`)),
  }));
  await expect(putManifest(node, REPOSITORY, indexOf(children), V1, { mediaType: OCI_INDEX })).rejects.toMatchObject({
    code: "MANIFEST_BLOB_UNKNOWN",
    detail: { digest: children[0]?.digest },
  });
  await expect(putManifest(node, REPOSITORY, IMAGE, V1)).rejects.toMatchObject({ code: "MANIFEST_BLOB_UNKNOWN" });
  expect(puts()).toEqual([]);
  node.consensus.barrier = async () => {
    await pushBlobs(node); // through another node, a moment ago
    return "fresh";
  };
  expect(await putManifest(node, REPOSITORY, IMAGE, V1)).toBe(digestOf(IMAGE));
  expect(puts()).toHaveLength(1);
});

test("a manifest of 4 MiB, all annotations of a referrer, fits", async () => {
  const node = await start();
  await pushBlobs(node);
  const annotations = Object.fromEntries(Array.from({ length: 390 }, (_, at) => [`large-${at}`, "A".repeat(10_000)]));
  const plain = imageOf(CONFIG, [LAYER], { annotations });
  const referrer = imageOf(CONFIG, [LAYER], { annotations, subject: descriptor(IMAGE, OCI_MANIFEST) });
  for (const bytes of [plain, referrer]) {
    const digest = await putManifest(node, REPOSITORY, bytes);
    expect(Buffer.from((await node.registry.manifest(ANYONE, REPOSITORY, { digest }, NEVER)).value.bytes).equals(bytes)).toBe(true);
  }
});

test("http-rules 15: If-Match and If-None-Match on a tag decide", async () => {
  const node = await start();
  await pushBlobs(node);
  const first = digestOf(IMAGE);
  const other = imageOf(CONFIG, []);
  const failed = { code: "PRECONDITION_FAILED" };
  await expect(putManifest(node, REPOSITORY, IMAGE, V1, { ifMatch: ["*"] })).rejects.toMatchObject(failed);
  await putManifest(node, REPOSITORY, IMAGE, V1, { ifNoneMatch: ["*"] });
  await expect(putManifest(node, REPOSITORY, other, V1, { ifNoneMatch: ["*"] })).rejects.toMatchObject(failed);
  await expect(putManifest(node, REPOSITORY, other, V1, { ifMatch: [digestOf(other)] })).rejects.toMatchObject(failed);
  expect(node.consensus.catalog.tag(REPOSITORY, V1)?.digest).toBe(first);
  await putManifest(node, REPOSITORY, other, V1, { ifMatch: [digestOf(CONFIG), first] });
  expect(node.consensus.catalog.tag(REPOSITORY, V1)?.digest).toBe(digestOf(other));
});

test("http-rules 14: an index with missing children is refused unless the repository allows sparse content; so is an image", async () => {
  const sparse = "conformance/sparse" as RepositoryName;
  const node = await start({ sparse: (repository) => repository === sparse });
  const child = descriptor(IMAGE, OCI_MANIFEST);
  const index = indexOf([child]);
  await expect(putManifest(node, REPOSITORY, index, V1, { mediaType: OCI_INDEX })).rejects.toMatchObject({ code: "MANIFEST_BLOB_UNKNOWN" });
  await putManifest(node, sparse, index, V1, { mediaType: OCI_INDEX });
  await pushBlob(node, sparse, CONFIG);
  await putManifest(node, sparse, IMAGE);
  const { catalog } = node.consensus;
  expect(catalog.link(sparse, digestOf(CONFIG))?.references).toBe(1);
  await pushBlob(node, sparse, LAYER);
  expect(catalog.link(sparse, digestOf(LAYER))?.references).toBe(1); // the edge was there before the blob
  const other = Buffer.from("deleted while the manifest is on its way");
  await pushBlob(node, sparse, other);
  const { propose } = node.consensus;
  node.consensus.propose = async (command, options) => {
    if (command.type === "manifest.put")
      await cluster?.shared.propose({ type: "blob.unlink", repository: sparse, digest: digestOf(other) });
    return propose.call(node.consensus, command, options);
  };
  await putManifest(node, sparse, imageOf(CONFIG, [other]), V1);
  expect(catalog.link(sparse, digestOf(other))).toBeUndefined();
});

test("a build cache: an index that lists layers keeps them as blobs", async () => {
  const node = await start();
  await pushBlobs(node);
  const cache = indexOf([
    descriptor(LAYER, "application/vnd.oci.image.layer.v1.tar+gzip"),
    descriptor(CONFIG, "application/vnd.buildkit.cacheconfig.v0"),
  ]);
  await putManifest(node, REPOSITORY, cache, "cache" as Tag, { mediaType: OCI_INDEX });
  expect(node.consensus.catalog.link(REPOSITORY, digestOf(LAYER))?.references).toBe(1);
  const absent = indexOf([descriptor(Buffer.from("absent"), "application/vnd.oci.image.layer.v1.tar+gzip")]);
  await expect(putManifest(node, REPOSITORY, absent, V1, { mediaType: OCI_INDEX })).rejects.toMatchObject({
    code: "MANIFEST_BLOB_UNKNOWN",
  });
});

test("G1: a manifest of a blob that is short of copies, for the cluster has grown, spreads it at once", async () => {
  cluster = await TestCluster.start({ nodes: 1, acks: 2 });
  const node = cluster.node(1);
  await pushBlobs(node);
  expect(cluster.shared.catalog.blob(digestOf(LAYER))?.copies).toHaveLength(1);
  node.repair.stop(); // no help from behind
  const second = await cluster.join();
  second.repair.stop();
  cluster.hub.cut(second.peerId);
  await expect(putManifest(node, REPOSITORY, IMAGE, V1)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  cluster.hub.heal(second.peerId);
  await putManifest(second, REPOSITORY, IMAGE, V1);
  expect(second.consensus.proposed.filter(({ type }) => type === "manifest.put")).toHaveLength(2); // both blobs in one go
  for (const bytes of [CONFIG, LAYER]) expect(cluster.shared.catalog.blob(digestOf(bytes))?.copies).toEqual([node.raftId, second.raftId]);
  await cluster.idle();
  expect((await second.blobs.stat(digestOf(LAYER)))?.settled).toBe(true);
});

test("http-rules 17: a blob that a manifest names cannot be deleted; after the manifest it can, and a new push brings it back", async () => {
  const node = await start();
  const digest = await pushImage(node, REPOSITORY, V1);
  const layer = Buffer.from("layer of image");
  const deleteLayer = () => node.registry.deleteBlob(ANYONE, REPOSITORY, digestOf(layer), NEVER);
  await expect(deleteLayer()).rejects.toMatchObject({ code: "REFERENCED" });
  await node.registry.deleteManifest(ANYONE, REPOSITORY, { digest }, NEVER);
  await deleteLayer();
  await expect(node.registry.headBlob(ANYONE, REPOSITORY, digestOf(layer), NEVER)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  await expect(deleteLayer()).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  await pushBlob(node, REPOSITORY, layer);
  expect((await node.registry.headBlob(ANYONE, REPOSITORY, digestOf(layer), NEVER)).value.sizeBytes).toBe(layer.byteLength);
  for (const reference of [{ digest }, { tag: V1 }]) {
    await expect(node.registry.deleteManifest(ANYONE, REPOSITORY, reference, NEVER)).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  }
});

test("G9: what a caller writes carries the caller's name", async () => {
  const node = await start();
  const seen: (string | undefined)[] = [];
  const { propose } = node.consensus;
  node.consensus.propose = (command, options) => {
    if (command.type === "manifest.put" || command.type === "blob.commit" || command.type.endsWith(".delete"))
      seen.push(options?.principal);
    return propose.call(node.consensus, command, options);
  };
  const digest = await pushImage(node, REPOSITORY, V1);
  await node.registry.deleteManifest(ANYONE, REPOSITORY, { digest }, NEVER);
  expect(seen).toEqual(["anonymous", "anonymous", "anonymous", "anonymous"]);
});

test("where the disk has no room for the log, a manifest is refused before anything is proposed; deletions go on", async () => {
  let isFull = false;
  const node = await start({
    assertLogRoom: async () => {
      if (isFull) throw new OciError("INSUFFICIENT_STORAGE", "no room");
    },
  });
  const digest = await pushImage(node, REPOSITORY, V1);
  const before = node.consensus.proposed.length;
  isFull = true;
  await expect(putManifest(node, REPOSITORY, IMAGE, V1)).rejects.toMatchObject({ code: "INSUFFICIENT_STORAGE" });
  expect(node.consensus.proposed).toHaveLength(before);
  await node.registry.deleteManifest(ANYONE, REPOSITORY, { digest }, NEVER);
});
