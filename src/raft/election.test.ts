import { expect, test } from "vitest";
import { MemoryCluster } from "./memory-cluster.ts";
import type { Message, VoteReply } from "./types.ts";

const PEERS = [1, 2, 3, 4, 5];

function replies(cluster: MemoryCluster): VoteReply[] {
  return cluster.queue.filter((message): message is VoteReply => message.type === "voteReply" || message.type === "preVoteReply");
}

function voteRequest(from: number, to: number, term: number, last: { index: number; term: number }): Message {
  return { type: "vote", from, to, term, lastIndex: last.index, lastTerm: last.term, transfer: false };
}

test("a node starts as a follower (Raft paper, 5.2)", () => {
  expect(new MemoryCluster(PEERS).node(1).status()).toMatchObject({ role: "follower", term: 0, leader: 0 });
});

test("a follower that hears nothing campaigns in the next term and votes for itself (Raft paper, 5.2)", () => {
  const cluster = new MemoryCluster(PEERS);
  cluster.tick(1, 19);
  cluster.work();
  expect(cluster.node(1).status()).toMatchObject({ role: "candidate", term: 1, vote: 1 });
  expect(cluster.queue.map(({ type, to, term }) => ({ type, to, term }))).toEqual(
    [2, 3, 4, 5].map((to) => ({ type: "vote", to, term: 1 })),
  );
});

test("the election timeout is drawn from one to two election ticks (Raft paper, 5.2)", () => {
  for (const [random, ticks] of [
    [0, 10],
    [0.5, 15],
    [0.999, 19],
  ] as const) {
    const cluster = new MemoryCluster(PEERS, { random: () => random });
    cluster.tick(1, ticks - 1);
    expect(cluster.node(1).status().role).toBe("follower");
    cluster.tick(1);
    expect(cluster.node(1).status().role).toBe("candidate");
  }
});

test("an election is won with a majority, not with less (Raft paper, 5.2)", () => {
  const cluster = new MemoryCluster(PEERS);
  cluster.isolate(1, 2);
  cluster.elect(1);
  expect(cluster.node(1).status().role).toBe("candidate");
  cluster.isolate(1, 2, 3);
  cluster.elect(1);
  expect(cluster.node(1).status()).toMatchObject({ role: "leader", term: 2 });
});

test("a candidate returns to follower when a majority refuses", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.isolate(3);
  cluster.propose(1, "newer");
  cluster.settle();
  cluster.heal();
  cluster.elect(3);
  expect(cluster.node(3).status()).toMatchObject({ role: "follower", leader: 0, term: 2 });
});

test("a node votes for one candidate a term, and again for the same (Raft paper, 5.2)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  for (const from of [2, 3, 2]) cluster.node(1).step(voteRequest(from, 1, 1, { index: 0, term: 0 }));
  cluster.work();
  expect(replies(cluster).map(({ to, rejected }) => [to, rejected])).toEqual([
    [2, false],
    [3, true],
    [2, false],
  ]);
});

test("a vote leaves only with the hard state that records it (Raft paper, figure 2)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.node(1).step(voteRequest(2, 1, 1, { index: 0, term: 0 }));
  const ready = cluster.node(1).ready();
  expect(ready).toMatchObject({ hardState: { term: 1, vote: 2 }, mustSync: true });
  expect(ready.messages).toMatchObject([{ type: "voteReply", to: 2, rejected: false }]);
});

test("with asynchronous storage a vote waits for the write, the candidate's own included", () => {
  const cluster = new MemoryCluster([1, 2, 3], { asyncStorageWrites: true });
  cluster.node(1).campaign();
  const own = cluster.node(1).ready();
  expect(own.messages.map(({ type }) => type)).toEqual(["vote", "vote"]);
  expect(own.storageAppend).toMatchObject({ hardState: { term: 1, vote: 1 }, responses: [{ type: "voteReply", to: 1 }] });
  cluster.node(2).step(voteRequest(1, 2, 1, { index: 0, term: 0 }));
  const other = cluster.node(2).ready();
  expect(other.messages).toEqual([]);
  expect(other.storageAppend).toMatchObject({ responses: [{ type: "voteReply", to: 1, rejected: false }] });
});

test("a vote is kept over a restart", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.node(1).step(voteRequest(2, 1, 1, { index: 0, term: 0 }));
  cluster.work();
  cluster.member(1).restart();
  cluster.queue = [];
  cluster.node(1).step(voteRequest(3, 1, 1, { index: 9, term: 1 }));
  cluster.work();
  expect(replies(cluster)).toMatchObject([{ to: 3, rejected: true }]);
});

test("the later last term is more up to date, then the longer log (Raft paper, 5.4.1)", () => {
  const cases = [
    { last: { index: 2, term: 1 }, rejected: false },
    { last: { index: 3, term: 1 }, rejected: false },
    { last: { index: 1, term: 2 }, rejected: false },
    { last: { index: 1, term: 1 }, rejected: true },
    { last: { index: 9, term: 0 }, rejected: true },
  ];
  for (const { last, rejected } of cases) {
    const cluster = new MemoryCluster([1, 2, 3]);
    cluster.elect(1);
    cluster.propose(1, "second");
    cluster.settle();
    cluster.node(2).step(voteRequest(3, 2, 5, last));
    cluster.work();
    expect(replies(cluster)).toMatchObject([{ to: 3, rejected }]);
  }
});

test("a candidate that hears from the leader of its term follows it (Raft paper, 5.2)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.node(1).campaign();
  cluster.node(1).step({ type: "heartbeat", from: 2, to: 1, term: 1, commit: 0, read: 0 });
  expect(cluster.node(1).status()).toMatchObject({ role: "follower", leader: 2, term: 1 });
});

test("a stale leader steps down at a higher term (Raft paper, 5.1)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.isolate(1);
  cluster.elect(2);
  cluster.heal();
  cluster.tick(2);
  cluster.settle();
  expect(cluster.node(1).status()).toMatchObject({ role: "follower", leader: 2, term: 2 });
});

test("a pre-vote changes no term and no vote of anyone (dissertation, 9.6)", () => {
  const cluster = new MemoryCluster([1, 2, 3], { preVote: true });
  cluster.elect(1);
  cluster.isolate(3);
  for (let i = 0; i < 5; i += 1) cluster.elect(3);
  expect(cluster.node(3).status()).toMatchObject({ role: "preCandidate", term: 1 });
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(cluster.node(1).status()).toMatchObject({ role: "leader", term: 1 });
  expect(cluster.node(3).status()).toMatchObject({ role: "follower", leader: 1, term: 1 });
});

test("under CheckQuorum a live leader is not voted out, and the request changes no term (dissertation, 4.2.3)", () => {
  const cluster = new MemoryCluster([1, 2, 3], { checkQuorum: true });
  cluster.elect(1);
  cluster.node(3).campaign();
  cluster.work();
  cluster.queue = cluster.queue.filter(({ to }) => to === 2);
  cluster.settle();
  expect(cluster.node(2).status()).toMatchObject({ term: 1, leader: 1 });
});

test("under CheckQuorum a leader without a quorum steps down within two election timeouts (dissertation, 6.2)", () => {
  const cluster = new MemoryCluster([1, 2, 3], { checkQuorum: true });
  cluster.elect(1);
  cluster.isolate(1);
  cluster.tick(1, 20);
  cluster.settle();
  expect(cluster.node(1).status()).toMatchObject({ role: "follower", leader: 0 });
});

test("under CheckQuorum and PreVote a node of a higher term is not stuck: its answer moves the leader on", () => {
  const cluster = new MemoryCluster([1, 2, 3], { checkQuorum: true, preVote: true });
  cluster.elect(1);
  cluster.node(3).step({ type: "vote", from: 2, to: 3, term: 7, lastIndex: 0, lastTerm: 0, transfer: true });
  cluster.work();
  cluster.queue = [];
  expect(cluster.node(3).status().term).toBe(7);
  cluster.tick(1);
  cluster.settle();
  expect(cluster.node(1).status()).toMatchObject({ role: "follower", term: 7 });
});

test("a leader hands over at once to a peer that is up to date, over any lease (dissertation, 3.10)", () => {
  const cluster = new MemoryCluster([1, 2, 3], { checkQuorum: true, preVote: true });
  cluster.elect(1);
  cluster.node(1).transferLeader(2);
  cluster.settle();
  expect(cluster.node(2).status()).toMatchObject({ role: "leader", term: 2 });
  expect(cluster.node(1).status()).toMatchObject({ role: "follower", leader: 2 });
});

test("a transfer brings a slow peer up to date first, takes no proposals meanwhile, and is given up after an election timeout", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.isolate(3);
  cluster.propose(1, "missed");
  cluster.settle();
  cluster.node(1).transferLeader(3);
  cluster.settle();
  expect(cluster.node(1).propose(new Uint8Array(1))).toBe("transferInProgress");
  cluster.tick(1, 10);
  expect(cluster.node(1).propose(new Uint8Array(1))).toBeUndefined();
  cluster.settle();
  cluster.heal();
  cluster.node(1).transferLeader(3);
  cluster.settle();
  expect(cluster.node(3).status()).toMatchObject({ role: "leader" });
});

test("a learner votes, and never campaigns or is given leadership", () => {
  const cluster = new MemoryCluster([1, 2], {}, [3]);
  cluster.tick(3, 40);
  expect(cluster.node(3).status().role).toBe("follower");
  cluster.elect(1);
  cluster.node(1).transferLeader(3);
  cluster.settle();
  expect(cluster.node(1).status().role).toBe("leader");
  cluster.node(3).step(voteRequest(2, 3, 9, { index: 9, term: 8 }));
  cluster.work();
  expect(replies(cluster)).toMatchObject([{ to: 2, rejected: false }]);
});

test("a follower told to forget its leader gives its vote at once", () => {
  const cluster = new MemoryCluster([1, 2, 3], { checkQuorum: true, preVote: true });
  cluster.elect(1);
  cluster.isolate(1);
  cluster.node(2).forgetLeader();
  cluster.elect(3);
  expect(cluster.node(3).status().role).toBe("leader");
});

test("a node with committed changes of the configuration that have not applied does not campaign", () => {
  const cluster = new MemoryCluster([1, 2, 3], { asyncStorageWrites: true });
  const node = cluster.node(2);
  const entries = [{ index: 1, term: 1, type: "confChangeV2" as const, data: undefined }];
  node.step({ type: "append", from: 1, to: 2, term: 1, prevIndex: 0, prevTerm: 0, entries, commit: 1 });
  node.campaign();
  expect(node.status().role).toBe("follower");
});
