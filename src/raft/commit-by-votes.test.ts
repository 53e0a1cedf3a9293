import { expect, test } from "vitest";
import type { ConfChangeSingle } from "./conf-change.ts";
import { MemoryCluster } from "./memory-cluster.ts";
import type { Message, VoteReply } from "./types.ts";

/**
 * Of two voters, 1 takes over while its own leaving, which 2 proposed, is under way. When it applies, 1 steps down, with an entry more that nobody
 * will commit; 2 has not heard of the commit and still counts 1 as a voter.
 */
function twoVotersToOne(leaving: ConfChangeSingle): MemoryCluster {
  const cluster = new MemoryCluster([1, 2], { stepDownOnRemoval: true, preVote: true, commitByVotes: true });
  cluster.elect(2);
  const held: Message[] = [];
  cluster.lose((message) => {
    if (message.type === "appendReply") held.push(message);
    return message.type === "appendReply";
  });
  cluster.change(2, { changes: [leaving] });
  cluster.settle();
  cluster.elect(1);
  cluster.propose(1, "never committed");
  cluster.lose(({ from }) => from === 1);
  cluster.node(1).step(held.at(-1)!);
  cluster.settle();
  cluster.heal();
  return cluster;
}

for (const leaving of [
  { type: "addLearner", nodeId: 1 },
  { type: "removeNode", nodeId: 1 },
] as const) {
  test(`of two voters that become one (${leaving.type}) the one that stays comes to lead, though the other has the longer log`, () => {
    const cluster = twoVotersToOne(leaving);
    expect(cluster.node(1).status()).toMatchObject({ role: "follower", commit: 3, lastIndex: 4, config: { voters: { incoming: [2] } } });
    expect(cluster.node(2).status()).toMatchObject({ role: "follower", commit: 1, config: { voters: { incoming: [1, 2] } } });
    // The refusal that it gets says that the change is committed.
    cluster.elect(2);
    expect(cluster.node(2).status()).toMatchObject({ role: "follower", commit: 3, config: { voters: { incoming: [2] } } });
    cluster.elect(2);
    expect(cluster.node(2).status()).toMatchObject({ role: "leader", lastIndex: 4, commit: 4 });
  });
}

test("who refuses a vote tells what is committed, and a candidate whose log has another entry there does not take it", () => {
  const cluster = new MemoryCluster([1, 2, 3], { commitByVotes: true });
  cluster.elect(1);
  cluster.isolate(3);
  cluster.propose(1, "newer");
  cluster.settle();
  cluster.heal();
  cluster.node(3).campaign();
  cluster.work();
  for (const message of cluster.queue.splice(0)) cluster.node(message.to).step(message);
  cluster.work();
  const refusals = cluster.queue.filter((message): message is VoteReply => message.type === "voteReply" && message.rejected);
  expect(refusals.map(({ committed }) => committed)).toEqual([
    { index: 2, term: 1 },
    { index: 2, term: 1 },
  ]);
  const before = cluster.node(3).status().commit;
  cluster.node(3).step({ ...refusals[0]!, committed: { index: 1, term: 9 } });
  expect(cluster.node(3).status().commit).toBe(before);
});
