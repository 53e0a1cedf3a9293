import { afterEach, expect, test } from "vitest";
import { ANYONE, imageOf, NEVER, pushBlob, pushImage, putManifest, TestCluster } from "../../test/registry/cluster.ts";
import { digestOf } from "../core/digest.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { ProjectRules } from "../metadata/records.ts";

const APP = "team/app" as RepositoryName;
const WEB = "team/web" as RepositoryName;
const V1 = "v1" as Tag;

let cluster: TestCluster;
afterEach(() => cluster.stop());

async function setUp(rules: Partial<ProjectRules>) {
  cluster = await TestCluster.start({ nodes: 2 });
  const none = { immutableTags: [], protectedRepositories: [], quota: {} };
  await cluster.apply({ type: "project.set", project: "team", rules: { ...none, ...rules } });
  return [cluster.node(1), cluster.node(2)] as const;
}

test("of two pushes at once through two nodes that do not both fit one is refused: 403 with what is used and allowed", async () => {
  const nodes = await setUp({ quota: { bytes: 150 } });
  const push = (at: 0 | 1) => pushBlob(nodes[at], APP, Buffer.alloc(100, at + 1));
  const ends = await Promise.allSettled([push(0), push(1)]);
  const refused = ends.flatMap((end) => (end.status === "rejected" ? [end.reason] : []));
  expect(refused).toEqual([expect.objectContaining({ code: "DENIED", detail: { project: "team", usedBytes: 100, allowedBytes: 150 } })]);
  expect(String(refused[0])).toContain("it uses 100 of 150 bytes");
  expect(cluster.shared.catalog.project("team").usage).toMatchObject({ sizeBytes: 100, blobs: 1 });
});

test("where a quota is used up no upload begins; what the project has already can be mounted and pushed there", async () => {
  const [node] = await setUp({ quota: { bytes: 100 } });
  const bytes = Buffer.alloc(100, 1);
  const digest = await pushBlob(node, APP, bytes);
  await expect(node.registry.startUpload(ANYONE, WEB, "sha256", NEVER)).rejects.toMatchObject({ code: "DENIED" });
  expect(await node.registry.mountBlob(ANYONE, WEB, digest, APP, NEVER)).toEqual({ digest });
  expect(await pushBlob(node, "other/app" as RepositoryName, Buffer.alloc(100, 2))).toBeTruthy();
});

test("repositories beyond the quota, immutable tags and protected repositories are refused with the reason", async () => {
  const [node] = await setUp({ quota: { repositories: 1 }, immutableTags: ["v*"], protectedRepositories: ["team/app"] });
  const first = await pushImage(node, APP, V1, "one");
  const config = Buffer.from("{}");
  await pushBlob(node, WEB, config);
  await expect(putManifest(node, WEB, imageOf(config, []))).rejects.toMatchObject({
    code: "DENIED",
    detail: { project: "team", usedRepositories: 1, allowedRepositories: 1 },
  });
  await pushBlob(node, APP, config);
  await expect(putManifest(node, APP, imageOf(config, []), V1)).rejects.toMatchObject({
    code: "DENIED",
    message: expect.stringContaining("immutable"),
  });
  await expect(node.registry.deleteManifest(ANYONE, APP, { digest: first }, NEVER)).rejects.toMatchObject({
    code: "DENIED",
    message: expect.stringContaining("protected"),
  });
  await expect(node.registry.deleteBlob(ANYONE, APP, digestOf(config), NEVER)).rejects.toMatchObject({ code: "DENIED" });
});
