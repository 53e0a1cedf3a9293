import { expect, test } from "vitest";
import { MemoryCluster } from "./memory-cluster.ts";
import type { AppendMessage, AppendReply, Entry, Message } from "./types.ts";

function entry(index: number, term: number): Entry {
  return { index, term, type: "normal", data: new TextEncoder().encode(`${term}/${index}`) };
}

function append(term: number, prev: { index: number; term: number }, entries: readonly Entry[], commit = 0): Message {
  return { type: "append", from: 1, to: 2, term, prevIndex: prev.index, prevTerm: prev.term, entries, commit };
}

/** Steps the messages into node 2 of three. @returns its answers */
function answers(...messages: readonly Message[]): { cluster: MemoryCluster; replies: AppendReply[] } {
  const cluster = new MemoryCluster([1, 2, 3]);
  for (const message of messages) {
    cluster.node(2).step(message);
    cluster.work();
  }
  return { cluster, replies: cluster.queue.filter((message): message is AppendReply => message.type === "appendReply") };
}

function terms(cluster: MemoryCluster, id: number): number[] {
  const { storage } = cluster.member(id);
  const last = storage.lastIndex();
  return Array.from({ length: last }, (_, at) => storage.term(at + 1) as number);
}

const START = { index: 0, term: 0 };

test("an acknowledged proposal has applied on every node, in one order (Raft paper, 5.3)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  for (const text of ["a", "b", "c"]) cluster.propose(text === "b" ? 2 : 1, text);
  cluster.settle();
  const orders = [1, 2, 3].map((id) => cluster.member(id).texts);
  expect(orders[0]?.toSorted()).toEqual(["a", "b", "c"]);
  expect(orders[1]).toEqual(orders[0]);
  expect(orders[2]).toEqual(orders[0]);
});

test("an entry commits with a majority, not with less (Raft paper, 5.3)", () => {
  const cluster = new MemoryCluster([1, 2, 3, 4, 5]);
  cluster.elect(1);
  cluster.isolate(1, 2);
  cluster.propose(1, "minority");
  cluster.settle();
  expect(cluster.member(1).texts).toEqual([]);
  cluster.isolate(1, 2, 3);
  cluster.tick(1);
  cluster.settle();
  expect(cluster.member(1).texts).toEqual(["minority"]);
});

test("the leader counts its own copy once it is durable (dissertation, 10.2.1)", () => {
  const cluster = new MemoryCluster([1], { asyncStorageWrites: true });
  const node = cluster.node(1);
  node.campaign();
  for (const response of node.ready().storageAppend?.responses ?? []) node.step(response);
  const ready = node.ready();
  expect(node.status()).toMatchObject({ role: "leader", commit: 0 });
  for (const response of ready.storageAppend?.responses ?? []) node.step(response);
  expect(node.status().commit).toBe(1);
});

test("entries that conflict with the leader's are replaced (Raft paper, 5.3)", () => {
  const { cluster } = answers(append(1, START, [entry(1, 1), entry(2, 1), entry(3, 1)]), append(2, { index: 1, term: 1 }, [entry(2, 2)]));
  expect(terms(cluster, 2)).toEqual([1, 2]);
});

test("an old append that comes late truncates nothing (Raft paper, 5.3)", () => {
  const old = append(1, START, [entry(1, 1)]);
  const { cluster, replies } = answers(append(1, START, [entry(1, 1), entry(2, 1)]), old);
  expect(terms(cluster, 2)).toEqual([1, 1]);
  expect(replies.map(({ index }) => index)).toEqual([2, 1]);
});

test("an append whose previous entry is missing, or of another term, is refused with a hint (Raft paper, 5.3)", () => {
  const { replies } = answers(append(1, START, [entry(1, 1)]), append(3, { index: 5, term: 2 }, []), append(3, { index: 1, term: 3 }, []));
  expect(replies.slice(1)).toMatchObject([
    { rejected: true, index: 5, hintIndex: 1, hintTerm: 1 },
    { rejected: true, index: 1, hintIndex: 1, hintTerm: 1 },
  ]);
});

test("a follower commits no further than the last entry that the append verified (Raft paper, figure 2)", () => {
  const { cluster } = answers(append(1, START, [entry(1, 1), entry(2, 1), entry(3, 1)]), append(2, START, [entry(1, 1)], 3));
  expect(cluster.node(2).status().commit).toBe(1);
});

test("an append below what is committed is answered with the commit index", () => {
  const { replies } = answers(append(1, START, [entry(1, 1), entry(2, 1)], 2), append(1, START, [entry(1, 1)]));
  expect(replies[1]).toMatchObject({ index: 2, rejected: false });
});

test("an entry of an earlier term is not committed by counting replicas (Raft paper, 5.4.2 and figure 8)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  const old = append(2, START, [entry(1, 1), entry(2, 2)]);
  cluster.node(1).step({ ...old, from: 3, to: 1 } as AppendMessage);
  cluster.node(2).step({ ...old, from: 3, to: 2 } as AppendMessage);
  cluster.work();
  cluster.queue = [];
  // Entry 2 of term 2 is on a majority. The empty entry of term 3 is lost on its way.
  cluster.lose((message) => message.type === "append" && message.entries.some(({ term }) => term === 3));
  cluster.elect(1);
  expect(cluster.node(1).status()).toMatchObject({ role: "leader", term: 3, commit: 0 });
  cluster.node(1).step({ type: "appendReply", from: 2, to: 1, term: 3, index: 2, rejected: false, hintIndex: 0, hintTerm: 0 });
  expect(cluster.node(1).status().commit).toBe(0);
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(cluster.node(1).status().commit).toBe(3);
});

test("a storage answer of an earlier term confirms nothing (ABA)", () => {
  const cluster = new MemoryCluster([1, 2, 3], { asyncStorageWrites: true });
  const node = cluster.node(2);
  node.step(append(1, START, [entry(1, 1)]));
  const first = node.ready();
  node.step({ ...append(2, START, [entry(1, 2)]), from: 3 } as AppendMessage);
  node.ready();
  node.step({ ...append(3, START, [entry(1, 1)]), from: 1 } as AppendMessage);
  const third = node.ready();
  for (const response of first.storageAppend?.responses ?? []) if (response.type === "storageAppendReply") node.step(response);
  expect(third.storageAppend?.entries).toHaveLength(1);
  // Still unstable: the next write asks for a confirmation again.
  node.step({ type: "vote", from: 3, to: 2, term: 4, lastIndex: 1, lastTerm: 3, transfer: false });
  expect(node.ready().storageAppend?.responses.map(({ type }) => type)).toEqual(["voteReply", "storageAppendReply"]);
});

test("the window bounds what is on its way to a peer, and a full one still sends empty appends", () => {
  const cluster = new MemoryCluster([1, 2], { maxInflightMessages: 2 });
  cluster.elect(1);
  for (const text of ["a", "b", "c", "d"]) cluster.propose(1, text);
  cluster.work();
  expect(cluster.queue.filter(({ type }) => type === "append")).toHaveLength(2);
  cluster.queue = [];
  cluster.tick(1);
  cluster.lose(({ type }) => type === "appendReply");
  cluster.settle();
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(cluster.member(2).texts).toEqual(["a", "b", "c", "d"]);
});

test("bytes on their way to a peer are bounded as well", () => {
  const cluster = new MemoryCluster([1, 2], { maxInflightBytes: 100, maxSizePerMessage: 100 });
  cluster.elect(1);
  for (let i = 0; i < 5; i += 1) cluster.propose(1, "x".repeat(60));
  cluster.work();
  expect(cluster.queue.filter(({ type }) => type === "append")).toHaveLength(2);
});

test("an append carries at most its size limit, but one entry always", () => {
  const cluster = new MemoryCluster([1, 2], { maxSizePerMessage: 1 });
  cluster.elect(1);
  cluster.lose(({ to }) => to === 2);
  for (const text of ["aaaa", "bbbb"]) cluster.propose(1, text);
  cluster.settle();
  cluster.heal();
  cluster.node(1).reportUnreachable(2);
  cluster.tick(1);
  let largest = 0;
  cluster.lose((message) => {
    if (message.type === "append") largest = Math.max(largest, message.entries.length);
    return false;
  });
  cluster.settle();
  expect(largest).toBe(1);
  expect(cluster.member(2).texts).toEqual(["aaaa", "bbbb"]);
});

test("proposals beyond the limit on uncommitted bytes are refused, and taken again once it shrinks; empty ones always pass", () => {
  const cluster = new MemoryCluster([1, 2], { maxUncommittedBytes: 10 });
  cluster.elect(1);
  expect(cluster.node(1).propose(new Uint8Array(12))).toBeUndefined();
  expect(cluster.node(1).propose(new Uint8Array(1))).toBe("uncommittedLimit");
  expect(cluster.node(1).propose(new Uint8Array(0))).toBeUndefined();
  cluster.settle();
  expect(cluster.node(1).propose(new Uint8Array(1))).toBeUndefined();
});

test("without a leader a proposal is refused with the reason", () => {
  const cluster = new MemoryCluster([1, 2], { disableProposalForwarding: true });
  expect(cluster.node(1).propose(new Uint8Array(1))).toBe("noLeader");
  cluster.elect(1);
  expect(cluster.node(2).propose(new Uint8Array(1))).toBe("forwardingDisabled");
});

test("a reply from a node outside the configuration is refused", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  expect(cluster.node(1).step({ type: "heartbeatReply", from: 9, to: 1, term: 1, read: 0 })).toBe("unknownPeer");
});

test("a node that lost entries it acknowledged stops rather than serve", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  expect(() => cluster.node(2).step({ type: "heartbeat", from: 1, to: 2, term: 1, commit: 5, read: 0 })).toThrow(/new identity/);
});

test("while it probes, a leader ignores rejections of appends other than the last", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.lose(({ to }) => to === 3);
  cluster.elect(1);
  for (const text of ["a", "b"]) cluster.propose(1, text);
  cluster.settle();
  const rejection = { type: "appendReply", from: 3, to: 1, term: 1, rejected: true, hintIndex: 0, hintTerm: 0 } as const;
  expect(cluster.node(1).status().progress.get(3)).toMatchObject({ state: "probe", next: 1, paused: true });
  cluster.node(1).step({ ...rejection, index: 7 });
  expect(cluster.node(1).hasReady()).toBe(false);
  cluster.node(1).step({ ...rejection, index: 0 });
  expect(cluster.node(1).hasReady()).toBe(true);
});
