import { expect, test } from "vitest";
import { MemoryCluster } from "./memory-cluster.ts";
import type { HeartbeatReply, Message } from "./types.ts";

const context = (text: string): Uint8Array => new TextEncoder().encode(text);

function answered(cluster: MemoryCluster, id: number): [number, string][] {
  return cluster.member(id).reads.map((read) => [read.index, new TextDecoder().decode(read.context)]);
}

test("a read is answered with the commit index once a quorum has confirmed the leader (dissertation, 6.4)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.isolate(1);
  cluster.node(1).readIndex(context("cut off"));
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([]);
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([[1, "cut off"]]);
});

test("a follower's read goes through the leader, and its answer comes back to it", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  expect(cluster.node(2).readIndex(context("r"))).toBeUndefined();
  cluster.settle();
  expect(answered(cluster, 2)).toEqual([[1, "r"]]);
  expect(answered(cluster, 1)).toEqual([]);
});

test("a node that knows no leader says so", () => {
  expect(new MemoryCluster([1, 2]).node(1).readIndex(context("r"))).toBe("noLeader");
});

test("a read waits for the first commit of the term (dissertation, 6.4)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.lose(({ type }) => type === "append");
  cluster.elect(1);
  cluster.node(1).readIndex(context("early"));
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([]);
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([[1, "early"]]);
});

test("a late reply to a heartbeat confirms no read that came in after it, whatever the contexts", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  const late: HeartbeatReply[] = [];
  cluster.lose((message: Message) => {
    if (message.type === "heartbeatReply") late.push(message);
    return message.type === "heartbeatReply";
  });
  cluster.node(1).readIndex(context("same"));
  cluster.settle();
  const [reply] = late;
  cluster.isolate(1);
  cluster.node(1).readIndex(context("same"));
  cluster.settle();
  if (reply !== undefined) cluster.node(1).step(reply);
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([[1, "same"]]);
});

test("a confirmed read answers those before it too, each with its own index", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.lose(({ type }) => type === "heartbeat");
  cluster.node(1).readIndex(context("a"));
  cluster.propose(1, "x");
  cluster.settle();
  cluster.heal();
  cluster.node(1).readIndex(context("b"));
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([
    [1, "a"],
    [2, "b"],
  ]);
});

test("a single voter answers at once, but a removed leader whose successor is the single voter does not", () => {
  const single = new MemoryCluster([1]);
  single.elect(1);
  single.node(1).readIndex(context("r"));
  single.settle();
  expect(answered(single, 1)).toEqual([[1, "r"]]);

  const cluster = new MemoryCluster([1, 2]);
  cluster.elect(1);
  cluster.change(1, { changes: [{ type: "removeNode", nodeId: 1 }] });
  cluster.settle();
  expect(cluster.node(1).status().role).toBe("leader");
  cluster.isolate(1);
  cluster.elect(2);
  cluster.propose(2, "newer");
  cluster.settle();
  cluster.node(1).readIndex(context("stale"));
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([]);
});

test("a deposed leader answers none of the reads that waited", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.isolate(1);
  cluster.node(1).readIndex(context("r"));
  cluster.settle();
  cluster.elect(2);
  cluster.heal();
  cluster.tick(2);
  cluster.settle();
  cluster.elect(1);
  cluster.tick(1);
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([]);
});

test("lease-based reads need CheckQuorum, and are answered without a round", () => {
  expect(() => new MemoryCluster([1], { readOnly: "leaseBased" })).toThrow(/checkQuorum must be enabled/);
  const cluster = new MemoryCluster([1, 2, 3], { readOnly: "leaseBased", checkQuorum: true });
  cluster.elect(1);
  cluster.isolate(1);
  cluster.node(1).readIndex(context("r"));
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([[1, "r"]]);
});

test("G2: a single voter answers only from its first commit of the term on: its commit index may have gone back in a crash", () => {
  const cluster = new MemoryCluster([1], {}, [2]);
  const { storage } = cluster.member(1);
  // What a crash leaves: an entry that was committed and acknowledged, and a hard state that does not say so.
  storage.append([{ index: 1, term: 1, type: "normal", data: context("acknowledged") }]);
  storage.setHardState({ term: 1, vote: 1, commit: 0 });
  cluster.member(1).restart();
  cluster.node(1).campaign();
  while (cluster.node(1).status().role !== "leader") cluster.queue.push(...cluster.member(1).work());
  expect(cluster.node(1).status().commit).toBe(0);
  cluster.node(1).readIndex(context("own"));
  cluster.node(1).step({ type: "readIndex", from: 2, to: 1, term: 0, context: context("of a learner") });
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([[2, "own"]]);
  expect(answered(cluster, 2)).toEqual([[2, "of a learner"]]);
});

test("G2: once it told a peer to campaign over all leases, a leader reads by its lease no more", () => {
  const cluster = new MemoryCluster([1, 2, 3], { readOnly: "leaseBased", checkQuorum: true });
  cluster.elect(1);
  cluster.node(1).transferLeader(2);
  cluster.isolate(1);
  // The order to campaign passed; node 2 leads a later term and has committed in it.
  cluster.node(2).step({ type: "timeoutNow", from: 1, to: 2, term: 1 });
  cluster.settle();
  cluster.propose(2, "newer");
  cluster.settle();
  expect(cluster.node(2).status().role).toBe("leader");
  cluster.tick(1, 9);
  cluster.node(1).readIndex(context("stale"));
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([]);
});

test("a read that waits for a peer is answered when the configuration no longer needs the peer", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.change(1, { changes: [{ type: "removeNode", nodeId: 3 }] });
  cluster.settle();
  cluster.lose(({ type }) => type === "heartbeat");
  cluster.change(1, { changes: [{ type: "removeNode", nodeId: 2 }] });
  cluster.node(1).readIndex(context("r"));
  cluster.settle();
  expect(answered(cluster, 1)).toEqual([[2, "r"]]);
});

test("of the reads that wait for the first commit of a term, those beyond a bound are dropped", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.lose(({ type }) => type === "append");
  cluster.elect(1);
  for (let i = 0; i < 4_100; i += 1) cluster.node(1).readIndex(context(String(i)));
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(answered(cluster, 1).map(([, text]) => text)).toEqual(Array.from({ length: 4_096 }, (_, i) => String(i)));
});
