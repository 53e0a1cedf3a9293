import { afterEach, expect, test } from "vitest";
import { NEVER, pushBlob, TestCluster, type TestClusterOptions } from "../../test/registry/cluster.ts";
import { ManualClock } from "../consensus/manual-clock.ts";
import type { Digest } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { place } from "../placement/rendezvous.ts";

const REPOSITORY = "team/app" as RepositoryName;
const COPIES = 3;
const FAST = 2 ** 40;

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function start(options: TestClusterOptions): Promise<TestCluster> {
  cluster = await TestCluster.start({ moveBytesPerSecond: FAST, ...options });
  return cluster;
}

async function fill(count: number, sizeOf = (_n: number): number => 16): Promise<readonly Digest[]> {
  const { nodes } = cluster!;
  const digests: Digest[] = [];
  for (let n = 0; n < count; n += 1) {
    const bytes = Buffer.alloc(sizeOf(n), `blob ${n} `);
    digests.push(await pushBlob(nodes[n % nodes.length]!, REPOSITORY, bytes));
  }
  await passes();
  return digests;
}

/** Until nothing is left to do: a pass wakes others. */
async function passes(rounds = 8): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (const { repair } of cluster?.nodes ?? []) repair.wake();
    await cluster?.idle();
  }
}

function holders(digest: Digest): readonly number[] {
  const { catalog } = cluster!.shared;
  return catalog
    .holders(catalog.blob(digest)!)
    .map(({ raftId }) => raftId)
    .sort((a, b) => a - b);
}

function wanted(digest: Digest): readonly number[] {
  return place(digest, cluster!.shared.catalog.members(), COPIES).toSorted((a, b) => a - b);
}

async function expectInPlace(digests: readonly Digest[]): Promise<void> {
  for (const digest of digests) expect(holders(digest)).toEqual(wanted(digest));
  for (const node of cluster!.nodes) {
    const here = digests.filter((digest) => holders(digest).includes(node.raftId));
    expect(await node.blobs.list("", 10_000)).toEqual([...here].sort());
    expect(node.rebalance?.amount).toEqual({ blobs: 0, bytes: 0 });
  }
}

/** Copies that are up, at the worst moment; and what was sent where, from now on. */
function watch(): { fewest: number; readonly added: Map<number, number>; readonly proposed: Map<string, number> } {
  const seen = { fewest: Number.POSITIVE_INFINITY, added: new Map<number, number>(), proposed: new Map<string, number>() };
  const { shared } = cluster!;
  shared.onApplied(({ command, outcome }) => {
    if (command.type !== "copy.add" && command.type !== "copy.drop") return;
    const record = shared.catalog.blob(command.digest)!;
    const key = `${command.type} ${command.digest} ${command.copy}`;
    seen.proposed.set(key, (seen.proposed.get(key) ?? 0) + 1);
    if (outcome.refused !== undefined) return;
    seen.fewest = Math.min(seen.fewest, shared.catalog.holders(record).filter(({ down }) => !down).length);
    if (command.type === "copy.add") seen.added.set(command.copy, (seen.added.get(command.copy) ?? 0) + record.sizeBytes);
  });
  return seen;
}

test("G1: a join moves at most 1.15 of its share of the bytes, to the newcomer alone, never below the count on the way, each step by one node", async () => {
  const { nodes } = await start({ nodes: 5 });
  const sizeOf = (n: number): number => 100 + (n % 50) * 10;
  const digests = await fill(800, sizeOf);
  await expectInPlace(digests);
  const seen = watch();
  const before = nodes.map(({ rebalance }) => rebalance!.meter.totalBytes);
  const joined = await cluster!.join();
  await passes();
  await expectInPlace(digests);
  expect([...seen.added.keys()]).toEqual([joined.raftId]);
  const whole = digests.reduce((sum, _, n) => sum + sizeOf(n), 0) * COPIES;
  expect(seen.added.get(joined.raftId)).toBeLessThan((1.15 * whole) / 6);
  expect(seen.fewest).toBe(COPIES);
  expect([...seen.proposed].filter(([, times]) => times > 1)).toEqual([]);
  const moved = before.map((bytes, at) => nodes[at]!.rebalance!.meter.totalBytes - bytes);
  expect(moved.reduce((sum, bytes) => sum + bytes)).toBe(seen.added.get(joined.raftId));
  // and not by one of them alone
  expect(moved.filter((bytes) => bytes > 0)).toHaveLength(5);
});

test("a node that takes another's place gets what belongs there, and what was placed otherwise before moves", async () => {
  const { nodes } = await start({ nodes: 5 });
  const digests = await fill(120);
  await cluster!.replace(nodes[4]!);
  await passes(12);
  await expectInPlace(digests);
});

test("nothing to do costs nothing: what lies here is looked through once after the members have changed", async () => {
  const { shared, nodes } = await start({ nodes: 4 });
  await fill(20);
  let looked = 0;
  const { heldBy } = shared.catalog;
  shared.catalog.heldBy = (...args) => {
    looked += 1;
    return heldBy.apply(shared.catalog, args);
  };
  await passes(2);
  expect(looked).toBe(0);
  await cluster!.apply({ type: "member.state", raftId: nodes[3]!.raftId, down: true });
  await passes(2);
  expect(looked).toBe(nodes.length);
});

test("G1: what stood in for a member that was down goes when that is back, and its own copies stay; not one byte is sent", async () => {
  const { nodes, hub } = await start({ nodes: 5, repairAfterMs: 1_000 });
  const digests = await fill(40);
  const lost = nodes[4]!;
  hub.cut(lost.peerId);
  await cluster!.apply({ type: "member.state", raftId: lost.raftId, down: true });
  await cluster!.passTime(1_000);
  await passes();
  const standIns = digests.filter((digest) => holders(digest).length > COPIES);
  expect(standIns.length).toBeGreaterThan(10);
  for (const digest of standIns) expect(holders(digest)).toContain(lost.raftId);
  const seen = watch();
  hub.heal(lost.peerId);
  await cluster!.apply({ type: "member.state", raftId: lost.raftId, down: false });
  await passes();
  await expectInPlace(digests);
  expect(seen.added.size).toBe(0);
  expect(seen.fewest).toBe(COPIES);
});

test("nothing moves while a record is short of copies, and all does afterwards", async () => {
  const { nodes, hub } = await start({ nodes: 4 });
  await fill(1);
  const far = nodes[3]!;
  hub.cut(far.peerId);
  const digests: Digest[] = [];
  for (let n = 0; n < 12; n += 1) digests.push(await pushBlob(nodes[n % 3]!, REPOSITORY, Buffer.from(`meanwhile ${n}`)));
  await passes();
  const before = digests.map(holders);
  // a bad copy that nobody takes again
  const [first] = digests as [Digest];
  const keeper = nodes.find((node) => holders(first).includes(node.raftId))!;
  await keeper.blobs.quarantine(first, "bad");
  const spreads = nodes.map(({ exchange }) => exchange.spread);
  for (const [at, { exchange }] of nodes.entries()) {
    exchange.spread = async (...args) => (args[0].digest === first ? [] : spreads[at]!.apply(exchange, args));
  }
  keeper.repair.reportBad(first);
  hub.heal(far.peerId);
  for (const { rebalance } of nodes) rebalance?.peerConnected();
  await passes();
  expect(nodes[0]!.repair.shortage.mendable.blobs).toBe(1);
  expect(digests.slice(1).map(holders)).toEqual(before.slice(1));
  for (const [at, { exchange }] of nodes.entries()) exchange.spread = spreads[at]!;
  for (const { repair } of nodes) repair.peerConnected();
  await passes();
  expect(digests.map(holders)).toEqual(digests.map(wanted));
});

test("a blob that is pushed through a node is left alone by it until the push is over", async () => {
  const { nodes } = await start({ nodes: 3 });
  const digests = await fill(20);
  for (const { repair } of nodes) repair.isPushing = () => true;
  const joined = await cluster!.join();
  await passes();
  expect(digests.filter((digest) => holders(digest).includes(joined.raftId))).toEqual([]);
  for (const { repair } of nodes) repair.isPushing = () => false;
  await passes();
  await expectInPlace(digests);
});

test("a member that takes nothing is passed over: the copies stay where they are, and go to it once it takes them", async () => {
  const clock = new ManualClock();
  const { nodes } = await start({ nodes: 3, clock });
  const digests = await fill(20);
  const joined = await cluster!.join();
  const { receive } = joined.blobs;
  let asked = 0;
  joined.blobs.receive = async () => {
    asked += 1;
    throw new Error("the disk is full");
  };
  await passes();
  for (const digest of digests) expect(holders(digest)).toHaveLength(COPIES);
  expect(digests.filter((digest) => holders(digest).includes(joined.raftId))).toEqual([]);
  expect(asked).toBe(nodes.length - 1); // once by each of the others
  joined.blobs.receive = receive;
  for (const { rebalance } of nodes) rebalance?.peerConnected();
  await passes();
  await expectInPlace(digests);
});

test("G6: a copy that proves bad when it is to be moved is healed from another holder", async () => {
  const { nodes } = await start({ nodes: 3 });
  const digests = await fill(20);
  for (const digest of digests) nodes[0]!.blobs.damage(digest, 0);
  await cluster!.join();
  await passes();
  for (const { rebalance } of nodes) rebalance?.peerConnected();
  await passes();
  expect(digests.filter((digest) => holders(digest).length < COPIES)).toEqual([]);
  // each that was this node's to move, and not the first one alone
  expect(new Set(cluster!.noted.map(({ target }) => target)).size).toBeGreaterThan(2);
  const [bad] = cluster!.noted;
  for (const node of nodes.filter(({ raftId }) => holders(bad!.target as Digest).includes(raftId))) {
    for await (const chunk of node.blobs.open(bad!.target as Digest, { start: 0, end: 16 }, NEVER)) expect(chunk.byteLength).toBe(16);
  }
});

test("moves keep to the byte rate", async () => {
  const clock = new ManualClock();
  await start({ nodes: 3, clock, moveBytesPerSecond: 1_000 });
  const digests = await fill(20, () => 1_000);
  const joined = await cluster!.join();
  const moved = (): number => digests.filter((digest) => holders(digest).includes(joined.raftId)).length;
  const turn = async (): Promise<void> => {
    for (let at = 0; at < 200; at += 1) await new Promise(setImmediate);
  };
  for (const { repair } of cluster!.nodes) repair.wake();
  await turn();
  // the first of each node that has some to move, and then one a second of each
  const first = moved();
  expect(first).toBeLessThanOrEqual(3);
  clock.advance(999);
  await turn();
  expect(moved()).toBe(first);
  clock.advance(1);
  await turn();
  expect(moved()).toBeGreaterThan(first);
  expect(moved()).toBeLessThanOrEqual(2 * first);
  for (let at = 0; at < 25; at += 1) {
    clock.advance(1_000);
    await turn();
  }
  await passes();
  await expectInPlace(digests);
});

test("a member that takes nothing is asked again soon, and then less and less often", async () => {
  const clock = new ManualClock();
  const { nodes } = await start({ nodes: 3, clock });
  await fill(20);
  const joined = await cluster!.join();
  let asked = 0;
  joined.blobs.receive = async () => {
    asked += 1;
    throw new Error("it just begins");
  };
  await passes();
  const times: number[] = [];
  for (let second = 1; second <= 120; second += 1) {
    const before = asked;
    clock.advance(1_000);
    await cluster!.idle();
    if (asked > before) times.push(second);
  }
  const late = times.filter((second) => second > 3);
  expect(times).toContain(3);
  expect(late).toEqual([9, 21, 45, 93]);
  expect(asked).toBe((1 + 1 + late.length) * nodes.slice(0, 3).length);
});
