import { afterEach, expect, test } from "vitest";
import {
  ANYONE,
  collect,
  imageOf,
  NEVER,
  pushBlob,
  pushImage,
  putManifest,
  TestCluster,
  type TestNode,
} from "../../test/registry/cluster.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import { PIECE_SIZE_BYTES } from "../core/pieces.ts";
import { seededRandom } from "../core/random.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";

const REPOSITORY = "team/app" as RepositoryName;
const V1 = "v1" as Tag;
const HOUR_MS = 3_600_000;

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function start(...options: Parameters<typeof TestCluster.start>): Promise<TestCluster> {
  cluster = await TestCluster.start(...options);
  return cluster;
}

async function read(node: TestNode, digest: Digest, start = 0, end?: number): Promise<Buffer> {
  const { value } = await node.registry.blob(ANYONE, REPOSITORY, digest, NEVER);
  return collect(value.open({ start, end: end ?? value.sizeBytes }, NEVER));
}

test("G2: what was pushed through one node is pulled through every other, byte for byte", async () => {
  const { nodes } = await start({ nodes: 4, copies: 2 });
  const layer = Buffer.from(seededRandom(1).bytes(PIECE_SIZE_BYTES + 100));
  const config = Buffer.from("{}");
  for (const bytes of [layer, config]) await pushBlob(nodes[0]!, REPOSITORY, bytes);
  const manifest = imageOf(config, [layer]);
  const digest = await putManifest(nodes[1]!, REPOSITORY, manifest, V1);
  for (const node of nodes) {
    for (const reference of [{ tag: V1 }, { digest }]) {
      const { value, freshness } = await node.registry.manifest(ANYONE, REPOSITORY, reference, NEVER);
      expect(freshness).toBe("fresh");
      expect(value).toMatchObject({ digest, sizeBytes: manifest.byteLength });
      expect(Buffer.from(value.bytes).equals(manifest)).toBe(true);
      const head = await node.registry.headManifest(ANYONE, REPOSITORY, reference, NEVER);
      expect(head.value).toEqual({ digest, mediaType: value.mediaType, sizeBytes: value.sizeBytes });
    }
    expect((await read(node, digestOf(layer))).equals(layer)).toBe(true);
    expect(await read(node, digestOf(layer), PIECE_SIZE_BYTES - 5, PIECE_SIZE_BYTES + 5)).toEqual(
      layer.subarray(PIECE_SIZE_BYTES - 5, PIECE_SIZE_BYTES + 5),
    );
  }
});

test("G2: a deletion through one node is seen through every other", async () => {
  const { nodes } = await start({ nodes: 3 });
  const digest = await pushImage(nodes[0]!, REPOSITORY, V1);
  await nodes[1]!.registry.deleteManifest(ANYONE, REPOSITORY, { tag: V1 }, NEVER);
  for (const { registry } of nodes) {
    await expect(registry.manifest(ANYONE, REPOSITORY, { tag: V1 }, NEVER)).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
    expect((await registry.headManifest(ANYONE, REPOSITORY, { digest }, NEVER)).value.digest).toBe(digest); // the tag went alone
  }
  await nodes[2]!.registry.deleteManifest(ANYONE, REPOSITORY, { digest }, NEVER);
  for (const { registry } of nodes) {
    await expect(registry.manifest(ANYONE, REPOSITORY, { digest }, NEVER)).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" });
  }
});

test("G10: a blob is visible only in the repositories that link it", async () => {
  const { nodes } = await start({ nodes: 1, acks: 1 });
  const digest = await pushBlob(nodes[0]!, REPOSITORY, Buffer.from("secret"));
  const other = "team/other" as RepositoryName;
  await expect(nodes[0]!.registry.blob(ANYONE, other, digest, NEVER)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  await expect(nodes[0]!.registry.headBlob(ANYONE, other, digest, NEVER)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
});

test("G3: cut off, a node serves what it knows with the mark, and says 503 where it would have to say no, and to every write", async () => {
  const { nodes } = await start({ nodes: 3 });
  const [a, b] = nodes as [TestNode, TestNode];
  const digest = await pushImage(a, REPOSITORY, V1);
  const layer = digestOf(Buffer.from("layer of image"));
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  a.consensus.cutOff = true;
  const page = { after: "", limit: 10 };
  const reads = [
    a.registry.manifest(ANYONE, REPOSITORY, { tag: V1 }, NEVER),
    a.registry.headManifest(ANYONE, REPOSITORY, { digest }, NEVER),
    a.registry.blob(ANYONE, REPOSITORY, layer, NEVER),
    a.registry.headBlob(ANYONE, REPOSITORY, layer, NEVER),
    a.registry.tags(ANYONE, REPOSITORY, page, NEVER),
    a.registry.repositories(ANYONE, page, NEVER),
    a.registry.referrers(ANYONE, REPOSITORY, digest, { ...page, artifactType: undefined }, NEVER),
  ];
  for (const answer of await Promise.all(reads)) expect(answer.freshness).toBe("cutOff");
  expect((await read(a, layer)).toString()).toBe("layer of image");
  const unknown = digestOf(Buffer.from("unknown"));
  const nobody = "no/body" as RepositoryName;
  const bytes = imageOf(Buffer.from('{"seed":"image"}'), []);
  const refused = [
    a.registry.manifest(ANYONE, REPOSITORY, { tag: "v2" as Tag }, NEVER),
    a.registry.headManifest(ANYONE, REPOSITORY, { digest: unknown }, NEVER),
    a.registry.blob(ANYONE, REPOSITORY, unknown, NEVER),
    a.registry.headBlob(ANYONE, REPOSITORY, unknown, NEVER),
    a.registry.tags(ANYONE, nobody, page, NEVER),
    a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER),
    a.registry.finishUpload(ANYONE, { repository: REPOSITORY, id, body: (async function* () {})(), digest: unknown }, NEVER),
    a.registry.mountBlob(ANYONE, nobody, layer, REPOSITORY, NEVER),
    a.registry.deleteManifest(ANYONE, REPOSITORY, { tag: V1 }, NEVER),
    a.registry.deleteBlob(ANYONE, REPOSITORY, layer, NEVER),
    putManifest(a, REPOSITORY, bytes, V1),
  ];
  for (const [at, answer] of (await Promise.allSettled(refused)).entries()) {
    expect(answer, `request ${at}`).toMatchObject({ status: "rejected", reason: { code: "UNAVAILABLE", detail: { freshness: "cutOff" } } });
  }
  expect((await b.registry.manifest(ANYONE, REPOSITORY, { tag: V1 }, NEVER)).freshness).toBe("fresh");
});

test("G6: a copy that is damaged in the middle is never served whole: the read goes on from another node, and the copy is healed", async () => {
  const { nodes, shared } = await start({ nodes: 3 });
  const node = nodes[0]!;
  const bytes = Buffer.from(seededRandom(2).bytes(2 * PIECE_SIZE_BYTES + 77));
  const digest = await pushBlob(node, REPOSITORY, bytes);
  await cluster?.idle();
  expect(shared.catalog.blob(digest)?.copies).toContain(node.raftId);
  node.blobs.damage(digest, PIECE_SIZE_BYTES + 3);
  const dropped = new Promise<void>((resolve) => {
    shared.onApplied(({ command }) => {
      if (command.type === "copy.drop" && command.copy === node.raftId && command.bad) resolve();
    });
  });
  expect((await read(node, digest)).equals(bytes)).toBe(true);
  await dropped;
  await cluster?.idle();
  expect(shared.catalog.blob(digest)?.copies).toContain(node.raftId);
  for (const other of nodes.slice(1)) cluster?.hub.cut(other.peerId);
  expect((await read(node, digest)).equals(bytes)).toBe(true); // its own copy is whole again
});

test("G6: a damaged copy that no other node can replace ends the body early", async () => {
  const { nodes } = await start({ nodes: 1, acks: 1 });
  const bytes = Buffer.from(seededRandom(3).bytes(PIECE_SIZE_BYTES + 50));
  const digest = await pushBlob(nodes[0]!, REPOSITORY, bytes);
  nodes[0]!.blobs.damage(digest, PIECE_SIZE_BYTES + 3);
  const { value } = await nodes[0]!.registry.blob(ANYONE, REPOSITORY, digest, NEVER);
  let came = 0;
  const all = async (): Promise<void> => {
    for await (const chunk of value.open({ start: 0, end: value.sizeBytes }, NEVER)) came += chunk.byteLength;
  };
  await expect(all()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(came).toBeLessThanOrEqual(PIECE_SIZE_BYTES);
});

test("a copy that the record lists and the disk does not have is given up and healed", async () => {
  const { nodes, shared } = await start({ nodes: 3 });
  const node = nodes[0]!;
  const digest = await pushBlob(node, REPOSITORY, Buffer.from("gone"));
  await cluster?.idle();
  await node.blobs.quarantine(digest, "the disk was wiped");
  const dropped = new Promise<void>((resolve) => {
    shared.onApplied(({ command }) => {
      if (command.type === "copy.drop" && command.copy === node.raftId) resolve();
    });
  });
  expect((await read(node, digest)).toString()).toBe("gone");
  await dropped;
  await cluster?.idle();
  expect(shared.catalog.blob(digest)?.copies).toContain(node.raftId);
  expect((await node.blobs.stat(digest))?.settled).toBe(true);
});

test("Leases: a HEAD renews what is unreferenced and has less than half its lease left, and nothing else", async () => {
  const { nodes, shared } = await start({ nodes: 1, acks: 1 });
  const { registry, consensus } = nodes[0]!;
  const loose = await pushBlob(nodes[0]!, REPOSITORY, Buffer.from("loose"));
  const image = await pushImage(nodes[0]!, REPOSITORY, V1);
  const layer = digestOf(Buffer.from("layer of image"));
  const renewals = (): number => consensus.proposed.filter(({ type }) => type === "lease.renew").length;
  const headAll = async (): Promise<void> => {
    await registry.headBlob(ANYONE, REPOSITORY, loose, NEVER);
    await registry.headBlob(ANYONE, REPOSITORY, layer, NEVER);
    await registry.headManifest(ANYONE, REPOSITORY, { tag: V1 }, NEVER);
    await registry.headManifest(ANYONE, REPOSITORY, { digest: image }, NEVER);
  };
  await headAll();
  expect(renewals()).toBe(0);
  await cluster?.passTime(11 * HOUR_MS);
  await headAll();
  expect(renewals()).toBe(0);
  await cluster?.passTime(2 * HOUR_MS);
  await registry.blob(ANYONE, REPOSITORY, loose, NEVER); // readers never renew
  expect(renewals()).toBe(0);
  await headAll();
  expect(renewals()).toBe(1);
  expect(shared.catalog.link(REPOSITORY, loose)?.lease).toBe(shared.catalog.time() + 24 * HOUR_MS);
  await registry.deleteManifest(ANYONE, REPOSITORY, { tag: V1 }, NEVER);
  await cluster?.passTime(13 * HOUR_MS);
  await registry.headManifest(ANYONE, REPOSITORY, { digest: image }, NEVER);
  expect(renewals()).toBe(2); // untagged now
  consensus.cutOff = true;
  await expect(registry.headBlob(ANYONE, REPOSITORY, loose, NEVER)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect((await registry.blob(ANYONE, REPOSITORY, loose, NEVER)).freshness).toBe("cutOff");
  expect((await registry.headBlob(ANYONE, REPOSITORY, layer, NEVER)).freshness).toBe("cutOff");
});

test("a blob whose every copy is lost is told as lost and not there, so that it is pushed again, and that heals it", async () => {
  const { nodes, shared } = await start({ nodes: 3, copies: 1, acks: 1 });
  const [a, b] = nodes as [TestNode, TestNode];
  const bytes = Buffer.from("on one disk alone");
  const digest = await pushBlob(a, REPOSITORY, bytes);
  const lost = shared.catalog.blob(digest)!.copies[0]!;
  await shared.propose({ type: "member.remove", raftId: lost, lost: true });
  const other = [a, b].find(({ raftId }) => raftId !== lost)!;
  for (const asked of [other.registry.headBlob(ANYONE, REPOSITORY, digest, NEVER), other.registry.blob(ANYONE, REPOSITORY, digest, NEVER)])
    await expect(asked).rejects.toMatchObject({ code: "BLOB_UNKNOWN", message: expect.stringContaining("every copy of the blob is lost") });
  expect(await other.registry.mountBlob(ANYONE, "team/other" as RepositoryName, digest, REPOSITORY, NEVER)).toBeUndefined();
  await pushBlob(other, REPOSITORY, bytes);
  expect((await read(other, digest)).equals(bytes)).toBe(true);
});
