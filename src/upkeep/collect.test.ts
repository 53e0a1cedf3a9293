import { afterEach, expect, test } from "vitest";
import { ANYONE, imageOf, NEVER, pushBlob, pushImage, putManifest, TestCluster, type TestNode } from "../../test/registry/cluster.ts";
import { ManualClock } from "../consensus/manual-clock.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import { silentLog } from "../core/log.ts";
import { parseReference, type RepositoryName, type Tag } from "../core/reference.ts";
import { CollectorRun } from "./collect.ts";
import { type Disposing, startDisposing } from "./dispose.ts";
import { startReclaiming } from "./reclaim.ts";

const APP = "team/app" as RepositoryName;
const OTHER = "team/other" as RepositoryName;
const V1 = "v1" as Tag;
/** Far below what a session lives, so that those of the test go on. */
const LEASE_MS = 600_000;
const GRACE_MS = 60_000;
const TRASH_MS = 300_000;

let cluster: TestCluster;
let disposing: Disposing[];
let reclaiming: ReturnType<typeof startReclaiming>;
const clock = new ManualClock();
afterEach(() => {
  for (const one of disposing) one.stop();
  reclaiming.stop();
  cluster.stop();
});

function dispose(node: TestNode): Disposing {
  const { consensus, blobs } = node;
  const started = startDisposing({ consensus, blobs, clock, log: silentLog, rateBytes: Number.POSITIVE_INFINITY });
  disposing.push(started);
  return started;
}

async function setUp(nodes = 3): Promise<readonly TestNode[]> {
  cluster = await TestCluster.start({ nodes, lifetimes: { leaseMs: LEASE_MS, graceMs: GRACE_MS, trashKeepMs: TRASH_MS } });
  disposing = [];
  for (const node of cluster.nodes) dispose(node);
  reclaiming = startReclaiming({ consensus: cluster.node(1).consensus, membership: { leads: () => true }, clock, log: silentLog });
  return cluster.nodes;
}

async function settle(): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    await cluster.idle();
    for (const one of disposing) await one.idle();
    await reclaiming.idle();
  }
}

async function collect(at = 1) {
  const run = new CollectorRun({ consensus: cluster.node(at).consensus, clock }, NEVER);
  const { manifests, links, blobs } = await run.collect();
  await settle();
  return { manifests, links, blobs };
}

const remove = (reference: string, repository = APP) =>
  cluster.node(1).registry.deleteManifest(ANYONE, repository, parseReference(reference)!, NEVER);

async function filesOf(digest: Digest): Promise<number> {
  const stats = await Promise.all(cluster.nodes.map(({ blobs }) => blobs.stat(digest)));
  return stats.filter((stat) => stat !== undefined).length;
}

const layer = (seed: string): Digest => digestOf(Buffer.from(`layer of ${seed}`));

test("G5: a deleted image goes by trash, grace and condemning, from every disk and out of the catalog; what another one names stays", async () => {
  const [node] = await setUp();
  const gone = await pushImage(node!, APP, V1, "gone");
  await pushImage(node!, APP, "kept" as Tag, "kept");
  await cluster.idle();
  await remove(gone);
  expect(await collect()).toEqual({ manifests: 0, links: 0, blobs: 0 });
  await cluster.passTime(TRASH_MS + 1);
  expect(await collect()).toEqual({ manifests: 1, links: 0, blobs: 0 });
  await cluster.passTime(LEASE_MS + GRACE_MS);
  expect(await filesOf(layer("gone"))).toBe(3);
  expect(await collect()).toEqual({ manifests: 0, links: 2, blobs: 2 });
  expect([await filesOf(layer("gone")), cluster.shared.catalog.blob(layer("gone"))]).toEqual([0, undefined]);
  expect([await filesOf(layer("kept")), cluster.shared.catalog.blob(layer("kept"))?.state]).toEqual([3, "live"]);
  expect(cluster.shared.catalog.collector().runs.map(({ manifests, blobs }) => [manifests, blobs])).toEqual([
    [0, 2],
    [1, 0],
  ]);
});

test("G5: a layer that another repository mounted stays when its first one lets go of it", async () => {
  const [node] = await setUp();
  const digest = await pushImage(node!, APP, V1, "shared");
  expect(await node!.registry.mountBlob(ANYONE, OTHER, layer("shared"), APP, NEVER)).toBeTruthy();
  const config = Buffer.from('{"other":1}');
  await pushBlob(node!, OTHER, config);
  await putManifest(node!, OTHER, imageOf(config, [Buffer.from("layer of shared")]), V1);
  await cluster.idle();
  await remove(digest);
  for (let round = 0; round < 4; round += 1) {
    await cluster.passTime(LEASE_MS + GRACE_MS);
    await collect();
  }
  expect(cluster.shared.catalog.link(APP, layer("shared"))).toBeUndefined();
  expect([await filesOf(layer("shared")), cluster.shared.catalog.blob(layer("shared"))?.state]).toEqual([3, "live"]);
});

async function condemned(seed: string): Promise<Digest> {
  const digest = await pushImage(cluster.node(1), APP, V1, seed);
  await cluster.idle();
  await remove(digest);
  await cluster.passTime(TRASH_MS + 1);
  await collect();
  await cluster.passTime(LEASE_MS + GRACE_MS);
  return layer(seed);
}

test("G5: a layer that is pushed again while it is condemned lives, on the nodes that took it again", async () => {
  const [node, , third] = await setUp();
  for (const one of disposing) one.stop(); // nobody has unlinked it yet
  const digest = await condemned("again");
  await collect();
  expect(cluster.shared.catalog.blob(digest)?.state).toBe("condemned");
  await pushBlob(third!, APP, Buffer.from("layer of again"));
  await cluster.idle();
  for (const one of cluster.nodes) await dispose(one).idle();
  await settle();
  const record = cluster.shared.catalog.blob(digest)!;
  expect(record.state).toBe("live");
  for (const one of cluster.nodes.filter(({ raftId }) => record.copies.includes(raftId))) {
    expect((await one.blobs.stat(digest))?.settled).toBe(true);
  }
  expect(node).toBeDefined();
});

test("G5: a member that is away for a whole run keeps the record condemned; one that is down does not, and a successor of the leader goes on", async () => {
  await setUp();
  disposing[2]!.stop();
  const digest = await condemned("away");
  await collect(2);
  expect(cluster.shared.catalog.blob(digest)).toMatchObject({ state: "condemned", acknowledged: expect.any(Array) });
  expect(cluster.shared.catalog.blob(digest)!.acknowledged).toHaveLength(2);
  reclaiming.stop();
  await cluster.apply({ type: "member.state", raftId: cluster.node(3).raftId, down: true });
  reclaiming = startReclaiming({ consensus: cluster.node(2).consensus, membership: { leads: () => true }, clock, log: silentLog });
  clock.advance(5_000);
  await settle();
  expect(cluster.shared.catalog.blob(digest)).toBeUndefined();
});

test("while it is held nothing is purged, condemned, unlinked or reclaimed; released it goes on", async () => {
  const [node] = await setUp();
  const digest = await pushImage(node!, APP, V1, "held");
  await cluster.idle();
  await remove(digest);
  await cluster.passTime(TRASH_MS + 1);
  await cluster.apply({ type: "gc.hold", held: true, reason: "an audit" });
  expect(await collect()).toEqual({ manifests: 0, links: 0, blobs: 0 });
  await cluster.apply({ type: "gc.hold", held: false, reason: "" });
  await collect();
  await cluster.passTime(LEASE_MS + GRACE_MS);
  for (const one of disposing) one.stop();
  await collect();
  await cluster.apply({ type: "gc.hold", held: true, reason: "an audit" });
  for (const one of cluster.nodes) await dispose(one).idle();
  await settle();
  expect([await filesOf(layer("held")), cluster.shared.catalog.blob(layer("held"))?.state]).toEqual([3, "condemned"]);
  await cluster.apply({ type: "gc.hold", held: false, reason: "" });
  await settle();
  expect([await filesOf(layer("held")), cluster.shared.catalog.blob(layer("held"))]).toEqual([0, undefined]);
});

test("a node whose word did not get through in an election says it again a second later", async () => {
  await setUp();
  const node = cluster.node(2);
  for (const one of disposing) one.stop();
  await condemned("again later");
  await collect();
  node.consensus.cutOff = true;
  const late = dispose(node);
  await late.idle();
  node.consensus.cutOff = false;
  clock.advance(1_000);
  await late.idle();
  expect(cluster.shared.catalog.blob(layer("again later"))?.acknowledged).toEqual([node.raftId]);
});

test("a dry run says what a run would free, and writes nothing", async () => {
  await setUp();
  const digest = await condemned("dry");
  const before = cluster.shared.status().lastIndex;
  const run = new CollectorRun({ consensus: cluster.node(1).consensus, clock }, NEVER);
  const foreseen = await run.foresee();
  expect(cluster.shared.status().lastIndex).toBe(before);
  expect(foreseen).toMatchObject({ manifests: 0, links: 2, blobs: 2 });
  expect(await collect()).toEqual({ manifests: 0, links: 2, blobs: 2 });
  const size = Buffer.byteLength("layer of dry") + Buffer.byteLength('{"seed":"dry"}');
  expect(foreseen.freed).toEqual(cluster.nodes.map(({ raftId }) => ({ raftId, sizeBytes: size })));
  expect(cluster.shared.catalog.blob(digest)).toBeUndefined();
});

test("referrers follow a subject that is purged", async () => {
  const [node] = await setUp();
  const subject = await pushImage(node!, APP, V1, "subject");
  const config = Buffer.from("{}");
  await pushBlob(node!, APP, config);
  const described = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: subject, size: 1 };
  const signature = await putManifest(node!, APP, imageOf(config, [], { subject: described, artifactType: "application/x" }));
  await cluster.idle();
  await remove(subject);
  for (let round = 0; round < 5; round += 1) {
    await cluster.passTime(LEASE_MS + GRACE_MS);
    await collect();
  }
  expect(cluster.shared.catalog.manifest(APP, signature)).toBeUndefined();
  for (const digest of [layer("subject"), digestOf(config)])
    expect([await filesOf(digest), cluster.shared.catalog.blob(digest)]).toEqual([0, undefined]);
});
