import { afterEach, expect, test } from "vitest";
import { NEVER, pushBlob, TestCluster, type TestClusterOptions } from "../../test/registry/cluster.ts";
import { ManualClock } from "../consensus/manual-clock.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";

const REPOSITORY = "team/app" as RepositoryName;
const BYTES = Buffer.from("bytes to keep");
const DIGEST = digestOf(BYTES);

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function start(options: TestClusterOptions): Promise<TestCluster> {
  cluster = await TestCluster.start(options);
  return cluster;
}

function copies(digest: Digest = DIGEST): readonly number[] {
  return [...(cluster?.shared.catalog.blob(digest)?.copies ?? [])].sort((a, b) => a - b);
}

/** Until nothing is left to do: a pass wakes others. */
async function passes(): Promise<void> {
  for (let round = 0; round < 8; round += 1) {
    for (const { repair } of cluster?.nodes ?? []) repair.wake();
    await cluster?.idle();
  }
}

test("growth: records of a cluster that was smaller are spread to the nodes that join", async () => {
  const { nodes, shared } = await start({ nodes: 1 });
  const digests: Digest[] = [];
  for (let n = 0; n < 20; n += 1) digests.push(await pushBlob(nodes[0]!, REPOSITORY, Buffer.from(`blob ${n}`)));
  await cluster?.join();
  await cluster?.join();
  await passes();
  for (const digest of digests) expect(copies(digest)).toHaveLength(3);
  expect(await shared.catalog.shortRecords("", 10)).toEqual([]);
  for (const node of nodes) for (const digest of digests) expect((await node.blobs.stat(digest))?.settled).toBe(true);
});

test("a copy whose target was away at the push is made when it is back", async () => {
  const { nodes, hub } = await start({ nodes: 3 });
  hub.cut(nodes[2]!.peerId);
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await passes();
  expect(copies()).toHaveLength(2);
  hub.heal(nodes[2]!.peerId);
  await passes();
  expect(copies()).toHaveLength(3);
});

test("a copy whose target was away is made when that is connected again, at once or when it has begun to serve, and no pass is waited for", async () => {
  const clock = new ManualClock();
  const { nodes, hub } = await start({ nodes: 3, clock });
  clock.advance(3_000);
  const [node, , away] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  const others = [Buffer.from("one"), Buffer.from("two")];
  hub.cut(away.peerId);
  const first = await pushBlob(node, REPOSITORY, others[0]!);
  await cluster?.idle();
  hub.heal(away.peerId);
  node.repair.peerConnected();
  await cluster?.idle();
  expect(copies(first)).toHaveLength(3);
  hub.cut(away.peerId);
  const second = await pushBlob(node, REPOSITORY, others[1]!);
  node.repair.peerConnected(); // and does not serve blobs yet
  await cluster?.idle();
  expect(copies(second)).toHaveLength(2);
  hub.heal(away.peerId);
  clock.advance(3_000);
  await cluster?.idle();
  expect(copies(second)).toHaveLength(3);
});

test("records that a snapshot shows to be short of copies are looked for when it is installed", async () => {
  const { nodes, shared } = await start({ nodes: 2 });
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await cluster?.idle();
  await shared.bySnapshot(() =>
    shared.propose({ type: "copy.drop", digest: DIGEST, copy: nodes[1]!.raftId, bad: true }).then(() => undefined),
  );
  await cluster?.idle();
  expect(copies()).toHaveLength(2);
});

test("a removed member's copies are made again elsewhere, by the holders that are left", async () => {
  const { nodes } = await start({ nodes: 4, copies: 2, acks: 2 });
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await cluster?.idle();
  const [, second] = copies() as [number, number];
  const away = nodes.find((node) => node.raftId === second)!;
  cluster?.hub.cut(away.peerId);
  await cluster?.apply({ type: "member.remove", raftId: second });
  await passes();
  expect(copies()).toHaveLength(2);
  expect(copies()).not.toContain(second);
});

test("of the holders the lowest that is connected acts alone; where that does not help, the next one does too", async () => {
  const { nodes, hub, shared } = await start({ nodes: 4, copies: 3, acks: 2 });
  for (const node of nodes.slice(2)) hub.cut(node.peerId);
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await cluster?.idle();
  const [low, high] = [nodes[0]!, nodes[1]!];
  expect(copies()).toEqual([low.raftId, high.raftId]);
  low.repair.stop();
  high.consensus.proposed.length = 0;
  for (const node of nodes.slice(2)) hub.heal(node.peerId);
  for (let pass = 1; pass <= 6 && copies().length < 3; pass += 1) {
    expect(high.consensus.proposed.filter(({ type }) => type === "copy.add")).toEqual([]);
    high.repair.wake();
    await high.repair.idle();
  }
  expect(copies()).toHaveLength(3);
  expect(await shared.catalog.shortRecords("", 10)).toEqual([]);
});

test("spreadNow through a node without a copy brings the bytes here first; callers share the work", async () => {
  const { nodes } = await start({ nodes: 1 });
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  nodes[0]!.repair.stop();
  const second = await cluster!.join();
  second.repair.stop();
  await Promise.all([second.repair.spreadNow(DIGEST, NEVER), second.repair.spreadNow(DIGEST, NEVER)]);
  expect(copies()).toEqual([1, second.raftId]);
  expect(second.consensus.proposed.filter(({ type }) => type === "copy.add")).toHaveLength(1);
  await cluster?.idle();
  expect((await second.blobs.stat(DIGEST))?.settled).toBe(true);
});

test("spreadNow says UNAVAILABLE where too few can be reached, and heeds the signal of the one who waits", async () => {
  const { nodes, hub } = await start({ nodes: 1 });
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  const { repair } = nodes[0]!;
  repair.stop();
  const second = await cluster!.join();
  second.repair.stop();
  hub.cut(second.peerId);
  await expect(repair.spreadNow(DIGEST, NEVER)).rejects.toMatchObject({ code: "UNAVAILABLE", detail: { need: 2, copies: 1 } });
  await expect(repair.spreadNow(DIGEST, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
});

test("G6: a copy that proves bad while it is sent is quarantined, struck from the record and healed", async () => {
  const { nodes, hub } = await start({ nodes: 3 });
  hub.cut(nodes[2]!.peerId);
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await cluster?.idle();
  nodes[0]!.blobs.damage(DIGEST, 0);
  hub.heal(nodes[2]!.peerId);
  await passes();
  expect(copies()).toHaveLength(3);
  for (const node of nodes) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of node.blobs.open(DIGEST, { start: 0, end: BYTES.byteLength }, NEVER)) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe(BYTES.toString());
  }
});

test("a member that is not reached costs a pass one attempt, and no copy is read again for it", async () => {
  const { nodes, hub } = await start({ nodes: 2 });
  const node = nodes[0]!;
  for (const { repair } of nodes) repair.stop();
  for (let n = 0; n < 10; n += 1) await pushBlob(node, REPOSITORY, Buffer.from(`blob ${n}`));
  await cluster?.idle();
  const third = await cluster!.join();
  hub.cut(third.peerId);
  let sent = 0;
  const { spread } = node.exchange;
  node.exchange.spread = (...args) => {
    sent += 1;
    return spread.apply(node.exchange, args);
  };
  node.blobs.open = () => {
    throw new Error("read again");
  };
  const repair = cluster!.repairOf(node);
  repair.wake();
  await repair.idle();
  expect(sent).toBe(1);
  repair.stop();
});

test("a member that takes nothing, its disk is full say, costs one attempt and not one a record; others are sent to instead, and it once it takes them", async () => {
  const clock = new ManualClock();
  const { nodes } = await start({ nodes: 1, clock });
  const digests: Digest[] = [];
  for (let n = 0; n < 10; n += 1) digests.push(await pushBlob(nodes[0]!, REPOSITORY, Buffer.from(`blob ${n}`)));
  const full = await cluster!.join();
  let asked = 0;
  const { receive } = full.blobs;
  full.blobs.receive = async () => {
    asked += 1;
    throw new Error("the disk is full");
  };
  await passes();
  expect(asked).toBe(1);
  const other = await cluster!.join();
  await passes();
  for (const digest of digests) expect(copies(digest)).toEqual([1, other.raftId]);
  full.blobs.receive = receive;
  clock.advance(60_000);
  await passes();
  for (const digest of digests) expect(copies(digest)).toHaveLength(3);
});

test("a bad copy that cannot be struck while the node is cut off is struck with a later pass", async () => {
  const { nodes } = await start({ nodes: 3 });
  const node = nodes[0]!;
  await pushBlob(node, REPOSITORY, BYTES);
  await cluster?.idle();
  node.consensus.cutOff = true;
  await node.blobs.quarantine(DIGEST, "bad");
  node.repair.reportBad(DIGEST);
  await passes();
  expect(await node.blobs.stat(DIGEST)).toBeUndefined();
  node.consensus.cutOff = false;
  await passes();
  expect(copies()).toHaveLength(3);
  expect((await node.blobs.stat(DIGEST))?.settled).toBe(true);
});

/** Held by members that are up, at least. */
function fewestUp(digests: readonly Digest[]): number {
  const { catalog } = cluster!.shared;
  return Math.min(...digests.map((digest) => catalog.holders(catalog.blob(digest)!).filter(({ down }) => !down).length));
}

async function lose(node: TestCluster["nodes"][number]): Promise<void> {
  cluster?.hub.cut(node.peerId);
  await cluster?.apply({ type: "member.state", raftId: node.raftId, down: true });
}

test("copies of a member that is down are made again once it has been so for repairAfter of catalog time, and not before; no pass looks through it twice", async () => {
  const { nodes, shared } = await start({ nodes: 4, repairAfterMs: 60_000 });
  const digests: Digest[] = [];
  for (let n = 0; n < 20; n += 1) digests.push(await pushBlob(nodes[n % 4]!, REPOSITORY, Buffer.from(`blob ${n}`)));
  await passes();
  const lost = nodes[3]!;
  const held = shared.catalog.copiesOf(lost.raftId);
  expect(held).toBeGreaterThan(5);
  await lose(lost);
  await cluster?.passTime(59_999);
  await passes();
  expect(fewestUp(digests)).toBe(2);
  expect(nodes[0]!.repair.shortage.amount).toEqual({ blobs: 0, bytes: 0 });
  await cluster?.passTime(1);
  await passes();
  expect(fewestUp(digests)).toBe(3);
  expect(nodes[0]!.repair.shortage.amount).toEqual({ blobs: 0, bytes: 0 });
  // what it holds is listed still: nothing has to be moved when it comes back
  expect(shared.catalog.copiesOf(lost.raftId)).toBe(held);
  let looked = 0;
  const { heldBy } = shared.catalog;
  shared.catalog.heldBy = (...args) => {
    looked += 1;
    return heldBy.apply(shared.catalog, args);
  };
  await passes();
  expect(looked).toBe(0);
});

test("what nobody who is up could take is counted as short, and nobody is asked for it", async () => {
  const { nodes } = await start({ nodes: 3, repairAfterMs: 1_000 });
  for (let n = 0; n < 6; n += 1) await pushBlob(nodes[0]!, REPOSITORY, Buffer.from(`blob ${n}`));
  await passes();
  await lose(nodes[2]!);
  await cluster?.passTime(1_000);
  let sent = 0;
  nodes[0]!.exchange.spread = async () => {
    sent += 1;
    return [];
  };
  await passes();
  const { shortage } = nodes[0]!.repair;
  expect(shortage.amount).toEqual({ blobs: 6, bytes: 6 * "blob n".length });
  expect(shortage.mendable).toEqual({ blobs: 0, bytes: 0 });
  expect(sent).toBe(0);
  await cluster?.apply({ type: "member.state", raftId: nodes[2]!.raftId, down: false });
  await passes();
  expect(shortage.amount).toEqual({ blobs: 0, bytes: 0 });
});

test("a bad copy of a record that an overdue member holds too is healed at once, though enough are listed", async () => {
  const { nodes } = await start({ nodes: 5, repairAfterMs: 1_000 });
  const digest = await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await passes();
  const [lost, bad] = copies().map((raftId) => nodes.find((node) => node.raftId === raftId)!);
  await lose(lost!);
  await cluster?.passTime(1_000);
  await passes();
  expect(fewestUp([digest])).toBe(3);
  await bad!.blobs.quarantine(digest, "bad");
  bad!.repair.reportBad(digest);
  await cluster?.idle();
  await cluster?.idle();
  expect(fewestUp([digest])).toBe(3);
  expect(cluster?.noted).toContainEqual({ action: "copy.struck", target: digest, detail: expect.any(String) });
});
