import { expect, test } from "vitest";
import { type ConfChange, type ConfChangeSingle, decodeConfChange, encodeConfChange } from "./conf-change.ts";
import { MemoryCluster } from "./memory-cluster.ts";
import { describeConfig } from "./text.ts";
import type { ConfState } from "./types.ts";

const add = (nodeId: number): ConfChangeSingle => ({ type: "addNode", nodeId });
const remove = (nodeId: number): ConfChangeSingle => ({ type: "removeNode", nodeId });
const learn = (nodeId: number): ConfChangeSingle => ({ type: "addLearner", nodeId });

function configs(cluster: MemoryCluster): string[] {
  return [...cluster.members.values()].map(({ raw }) => describeConfig(raw.status().config));
}

function changeEntries(cluster: MemoryCluster, id: number): number {
  return cluster.member(id).applied.filter(({ type }) => type !== "normal").length;
}

test("a change takes effect on each node when it applies there (dissertation, 4.1)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.change(1, { changes: [remove(3)] });
  expect(configs(cluster)).toEqual(["voters=(1 2 3)", "voters=(1 2 3)", "voters=(1 2 3)"]);
  cluster.settle();
  expect(configs(cluster).slice(0, 2)).toEqual(["voters=(1 2)", "voters=(1 2)"]);
});

test("a learner catches up without a say in commits, then is promoted", () => {
  const cluster = new MemoryCluster([1]);
  cluster.elect(1);
  cluster.propose(1, "before");
  cluster.settle();
  cluster.join(2);
  cluster.lose(({ to }) => to === 2);
  cluster.change(1, { changes: [learn(2)] });
  cluster.propose(1, "alone");
  cluster.settle();
  expect(cluster.member(1).texts).toEqual(["before", "alone"]);
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(cluster.member(2).texts).toEqual(["before", "alone"]);
  cluster.change(1, { changes: [add(2)] });
  cluster.settle();
  expect(configs(cluster)).toEqual(["voters=(1 2)", "voters=(1 2)"]);
});

test("a second change while one has not applied becomes an empty entry", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.change(1, { changes: [remove(3)] });
  cluster.change(1, { changes: [remove(2)] });
  cluster.settle();
  expect(configs(cluster)[0]).toBe("voters=(1 2)");
  expect(changeEntries(cluster, 1)).toBe(1);
});

test("a new leader takes no change before the entries of its predecessors have applied", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.lose((message) => message.type === "append" && message.commit > 1);
  cluster.change(1, { changes: [remove(3)] });
  cluster.settle();
  cluster.lose(({ from, to }) => from === 1 || to === 1);
  cluster.node(2).campaign();
  cluster.work();
  // Only the votes pass: the change of the first leader stays uncommitted in the second.
  cluster.lose(({ type, from, to }) => from === 1 || to === 1 || type === "append");
  cluster.settle();
  expect(cluster.node(2).status().role).toBe("leader");
  cluster.change(2, { changes: [remove(1)] });
  cluster.heal();
  cluster.tick(2);
  cluster.settle();
  expect(configs(cluster)[1]).toBe("voters=(1 2)");
});

test("several changes pass through a joint configuration that the leader leaves by itself (dissertation, 4.3)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  for (const id of [4, 5]) cluster.join(id);
  cluster.change(1, { changes: [add(4), add(5), remove(2), remove(3)] });
  cluster.settle();
  expect(describeConfig(cluster.node(1).status().config)).toBe("voters=(1 4 5)");
  expect(changeEntries(cluster, 1)).toBe(2);
});

test("a joint configuration commits only with a majority of both halves (dissertation, 4.3)", () => {
  for (const { cutOff, commits } of [
    { cutOff: [2, 3], commits: false },
    { cutOff: [4, 5], commits: false },
    { cutOff: [3, 5], commits: true },
  ]) {
    const cluster = new MemoryCluster([1, 2, 3]);
    cluster.elect(1);
    for (const id of [4, 5]) cluster.join(id);
    cluster.change(1, { transition: "jointExplicit", changes: [add(4), add(5), remove(2), remove(3)] });
    cluster.settle();
    expect(describeConfig(cluster.node(1).status().config)).toBe("voters=(1 4 5)&&(1 2 3)");
    cluster.isolate(...cutOff);
    cluster.propose(1, "x");
    cluster.settle();
    expect(cluster.member(1).texts).toEqual(commits ? ["x"] : []);
  }
});

test("a joint configuration elects only with a majority of both halves (dissertation, 4.3)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  for (const id of [4, 5]) cluster.join(id);
  cluster.change(1, { transition: "jointExplicit", changes: [add(4), add(5), remove(2), remove(3)] });
  cluster.settle();
  cluster.isolate(1, 4, 5);
  cluster.elect(4);
  expect(cluster.node(4).status().role).toBe("candidate");
  cluster.heal();
  cluster.elect(4);
  expect(cluster.node(4).status().role).toBe("leader");
});

test("a new leader leaves the joint configuration that its predecessor did not get to leave", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.lose(
    (message) => message.type === "append" && message.entries.some(({ type, data }) => type === "confChangeV2" && data === undefined),
  );
  cluster.change(1, { transition: "jointImplicit", changes: [remove(1)] });
  cluster.settle();
  expect(describeConfig(cluster.node(2).status().config)).toBe("voters=(2 3)&&(1 2 3) autoleave");
  cluster.isolate(1);
  cluster.elect(2);
  expect(cluster.node(2).status().role).toBe("leader");
  expect(describeConfig(cluster.node(3).status().config)).toBe("voters=(2 3)");
});

test("a voter that is demoted becomes a learner when the joint configuration is left", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.change(1, { transition: "jointExplicit", changes: [learn(3)] });
  cluster.settle();
  expect(configs(cluster)[0]).toBe("voters=(1 2)&&(1 2 3) learners_next=(3)");
  cluster.change(1, {});
  cluster.settle();
  expect(new Set(configs(cluster))).toEqual(new Set(["voters=(1 2) learners=(3)"]));
});

test("a removed leader goes on to commit its removal, then takes no proposals; with stepDownOnRemoval it steps down", () => {
  for (const stepDownOnRemoval of [false, true]) {
    const cluster = new MemoryCluster([1, 2, 3], { stepDownOnRemoval });
    cluster.elect(1);
    cluster.change(1, { changes: [remove(1)] });
    cluster.settle();
    expect(cluster.node(1).status().role).toBe(stepDownOnRemoval ? "follower" : "leader");
    expect(cluster.node(1).propose(new Uint8Array(1))).toBe(stepDownOnRemoval ? "noLeader" : "notMember");
    expect(configs(cluster)[1]).toBe("voters=(2 3)");
    cluster.tick(1, 50);
    cluster.settle();
    expect(cluster.node(1).status().term).toBe(1);
  }
});

test("a committed change that does not fit is refused on every node alike, and nobody stops", () => {
  const cluster = new MemoryCluster([1, 2], { disableConfChangeValidation: true });
  cluster.elect(1);
  cluster.change(1, {});
  cluster.change(1, { changes: [remove(1), remove(2)] });
  cluster.settle();
  cluster.propose(1, "alive");
  cluster.settle();
  expect(configs(cluster)).toEqual(["voters=(1 2)", "voters=(1 2)"]);
  expect(cluster.member(2).texts).toEqual(["alive"]);
});

test("bytes that are no change are refused where they are proposed, and where they apply", () => {
  const cluster = new MemoryCluster([1, 2]);
  cluster.elect(1);
  const entries = [{ type: "confChangeV2" as const, data: Uint8Array.of(9, 9, 9, 9, 9) }];
  cluster.node(1).step({ type: "propose", from: 2, to: 1, term: 0, entries });
  cluster.settle();
  expect(changeEntries(cluster, 1)).toBe(0);
  expect(cluster.node(1).applyConfChange(Uint8Array.of(9, 9, 9, 9, 9), 2).voters).toEqual([1, 2]);
});

test("a change that a restored snapshot has overtaken is told late and changes nothing; one after it does", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  const node = cluster.node(2);
  const confState: ConfState = { voters: [1, 2, 3], votersOutgoing: [], learners: [4], learnersNext: [], autoLeave: false };
  const gone: ConfChange = { changes: [remove(4)], transition: "auto", context: undefined };
  node.step({ type: "snapshot", from: 1, to: 2, term: 3, snapshot: { meta: { index: 20, term: 3, confState }, data: new Uint8Array(0) } });
  expect(node.applyConfChange(gone, 20).learners).toEqual([4]);
  expect(node.applyConfChange(gone, 21).learners).toEqual([]);
});

test("a new peer counts as active, so that CheckQuorum does not depose the leader that added it", () => {
  const cluster = new MemoryCluster([1], { checkQuorum: true });
  cluster.elect(1);
  cluster.change(1, { changes: [add(2)] });
  cluster.work();
  cluster.tick(1, 10);
  expect(cluster.node(1).status().role).toBe("leader");
  cluster.tick(1, 10);
  expect(cluster.node(1).status().role).toBe("follower");
});

test("a transfer to a peer that is removed meanwhile is given up", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.isolate(3);
  cluster.change(1, { changes: [remove(3)] });
  cluster.node(1).transferLeader(3);
  expect(cluster.node(1).status().transferee).toBe(3);
  cluster.settle();
  expect(cluster.node(1).status().transferee).toBe(0);
});

test("a configuration change survives its encoding", () => {
  const changes: ConfChange[] = [
    { transition: "auto", changes: [], context: undefined },
    { transition: "jointExplicit", changes: [add(1), learn(2 ** 40), remove(3), { type: "updateNode", nodeId: 4 }], context: undefined },
    { transition: "jointImplicit", changes: [add(7)], context: Uint8Array.of(0, 1, 255) },
  ];
  for (const change of changes) expect(decodeConfChange(encodeConfChange(change))).toEqual(change);
  const bytes = encodeConfChange(changes[1] as ConfChange);
  for (let end = 1; end < bytes.length; end += 1) expect(decodeConfChange(bytes.subarray(0, end))).toBeUndefined();
});

test("a change that is refused for its size holds up no other", () => {
  const cluster = new MemoryCluster([1, 2, 3], { maxUncommittedBytes: 20 });
  cluster.elect(1);
  cluster.propose(1, "almost 20 bytes long");
  const change = { transition: "auto" as const, changes: [{ type: "removeNode" as const, nodeId: 3 }], context: undefined };
  expect(cluster.node(1).proposeConfChange(change)).toBe("uncommittedLimit");
  // Its commit and application come after the next proposal.
  cluster.work();
  const batch = cluster.queue.splice(0);
  for (const message of batch) cluster.node(message.to).step(message);
  cluster.work();
  for (const message of cluster.queue.splice(0)) cluster.node(message.to).step(message);
  cluster.work();
  expect(cluster.node(1).status().applied).toBe(2);
  expect(cluster.node(1).proposeConfChange(change)).toBeUndefined();
  cluster.settle();
  expect(cluster.node(2).status().config.voters.incoming).toEqual([1, 2]);
});
