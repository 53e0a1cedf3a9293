import { afterEach, expect, test } from "vitest";
import { ANYONE, NEVER, pushBlob, TestCluster } from "../../test/registry/cluster.ts";
import { digestOf } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";

const SOURCE = "team/base" as RepositoryName;
const TARGET = "team/app" as RepositoryName;
const BYTES = Buffer.from("a shared layer");
const DIGEST = digestOf(BYTES);

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

test("http-rules 10: a blob is mounted from a repository that has it, through any node, and outlives its deletion there", async () => {
  cluster = await TestCluster.start({ nodes: 3 });
  const [a, b] = [cluster.node(1), cluster.node(2)];
  await pushBlob(a, SOURCE, BYTES);
  expect(await b.registry.mountBlob(ANYONE, TARGET, DIGEST, SOURCE, NEVER)).toEqual({ digest: DIGEST });
  await b.registry.deleteBlob(ANYONE, SOURCE, DIGEST, NEVER);
  expect((await a.registry.headBlob(ANYONE, TARGET, DIGEST, NEVER)).value).toEqual({ digest: DIGEST, sizeBytes: BYTES.byteLength });
  expect(await a.registry.mountBlob(ANYONE, SOURCE, DIGEST, SOURCE, NEVER)).toBeUndefined(); // deleted there
});

test("a mount is answered by a session where the source lacks the blob or is unknown, or nobody has it", async () => {
  cluster = await TestCluster.start({ nodes: 1, acks: 1 });
  const { registry } = cluster.node(1);
  await pushBlob(cluster.node(1), SOURCE, BYTES);
  const absent = digestOf(Buffer.from("x"));
  expect(await registry.mountBlob(ANYONE, TARGET, absent, SOURCE, NEVER)).toBeUndefined();
  expect(await registry.mountBlob(ANYONE, TARGET, absent, undefined, NEVER)).toBeUndefined();
  expect(await registry.mountBlob(ANYONE, TARGET, DIGEST, "no/body" as RepositoryName, NEVER)).toBeUndefined();
  expect(cluster.shared.catalog.link(TARGET, DIGEST)).toBeUndefined();
});

test("http-rules 10: without a source, any repository that shows the blob is one; none that hides it", async () => {
  cluster = await TestCluster.start({ nodes: 1, acks: 1 });
  const { registry } = cluster.node(1);
  await pushBlob(cluster.node(1), SOURCE, BYTES);
  expect(await registry.mountBlob(ANYONE, TARGET, DIGEST, undefined, NEVER)).toEqual({ digest: DIGEST });
  expect(cluster.shared.catalog.link(TARGET, DIGEST)).toBeDefined();
  for (const repository of [SOURCE, TARGET]) await registry.deleteBlob(ANYONE, repository, DIGEST, NEVER);
  expect(await registry.mountBlob(ANYONE, TARGET, DIGEST, undefined, NEVER)).toBeUndefined();
});

test("G1: a blob that is short of copies is spread before its mount is answered", async () => {
  cluster = await TestCluster.start({ nodes: 1, acks: 2 });
  const node = cluster.node(1);
  await pushBlob(node, SOURCE, BYTES);
  node.repair.stop();
  const second = await cluster.join();
  cluster.hub.cut(second.peerId);
  await expect(node.registry.mountBlob(ANYONE, TARGET, DIGEST, SOURCE, NEVER)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  cluster.hub.heal(second.peerId);
  expect(await node.registry.mountBlob(ANYONE, TARGET, DIGEST, SOURCE, NEVER)).toEqual({ digest: DIGEST });
  expect(cluster.shared.catalog.blob(DIGEST)?.copies).toEqual([node.raftId, second.raftId]);
});
