import { afterEach, expect, test } from "vitest";
import { NEVER, pushBlob, TestCluster } from "../../test/registry/cluster.ts";
import type { Digest } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { verifyDisk } from "./verify-disk.ts";

const APP = "team/app" as RepositoryName;
let cluster: TestCluster;
afterEach(() => cluster.stop());

test("a disk as the catalog says gives no finding; a copy without a file and a file without a record are named", async () => {
  cluster = await TestCluster.start({ nodes: 2 });
  const [node, other] = [cluster.node(1), cluster.node(2)];
  const digests: Digest[] = [];
  for (let at = 0; at < 300; at += 1) digests.push(await pushBlob(node, APP, Buffer.from(`blob ${at}`)));
  await cluster.idle();
  const sound = { files: 300, copies: 300, missing: [], missingCount: 0, strays: [], strayCount: 0 };
  expect(await verifyDisk(node, NEVER)).toEqual(sound);

  const [lost, unknown, pinned] = digests as [Digest, Digest, Digest];
  await node.blobs.drop(lost, () => true);
  for (const digest of [unknown, pinned]) {
    await node.blobs.pin(digest, "c.1");
    await cluster.apply({ type: "blob.unlink", repository: APP, digest });
    await cluster.apply({ type: "gc.condemn", digest });
    const condemnedAt = cluster.shared.catalog.blob(digest)!.condemnedAt;
    for (const { raftId } of cluster.nodes) await cluster.apply({ type: "gc.deleted", digest, copy: raftId, condemnedAt });
  }
  await node.blobs.settle({ digest: unknown, commitId: "c.1" }, true);
  expect(await verifyDisk(node, NEVER)).toEqual({
    files: 299,
    copies: 298,
    missing: [lost],
    missingCount: 1,
    strays: [unknown],
    strayCount: 1,
  });
  expect((await verifyDisk(other, NEVER)).missingCount).toBe(0);
});
