import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { seededRandom } from "../../core/random.ts";
import { factsOf, SECRET_HASH } from "../../metadata/scenario.ts";
import { type RecoverCommand, rewriteAsFollower, rewriteAsLeader } from "../rewrite.ts";
import { levelStorage } from "./level-storage.ts";
import { MemoryCluster, tokenCommand } from "./memory-cluster.ts";

async function clusterOf(voters: number): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.create(voters);
  onTestFinished(() => cluster.close());
  const leader = await cluster.leader();
  await leader.propose({ type: "token.create", id: "join", hash: SECRET_HASH, uses: 9, ttlMs: 600_000 });
  return cluster;
}

function rewriteOf(cluster: MemoryCluster, raftId: number) {
  const random = seededRandom(raftId);
  return {
    storage: levelStorage(cluster.folder(raftId)),
    clock: systemClock,
    random,
    formerCluster: "test",
    owner: { clusterId: "next", raftId },
    term: 40,
  };
}

const recoverWith =
  (lost: readonly number[]) =>
  (lastTerm: number, lastIndex: number): RecoverCommand => {
    const signature = Uint8Array.of(7);
    return { type: "cluster.recover", from: "test", clusterId: "next", publicKey: Uint8Array.of(9), lastTerm, lastIndex, lost, signature };
  };

test("G1: one of three voters goes on alone with all that its log held, committed there or not; the chain and its time go on (G9)", async () => {
  const cluster = await clusterOf(3);
  const leader = await cluster.leader();
  const id = leader.self;
  await leader.propose(tokenCommand("acknowledged"));
  const others = [1, 2, 3].filter((other) => other !== id);
  cluster.network.partition([id], others);
  // It stands in the leader's log alone: for all that anybody knows it was acknowledged.
  leader.propose(tokenCommand("tail")).catch(() => undefined);
  const before = leader.status();
  await cluster.until(() => leader.lastIndex() > before.lastIndex);
  const head = leader.catalog.head();
  for (const other of [id, ...others]) await cluster.stop(other);
  const end = { lastTerm: leader.log.term(leader.lastIndex()), lastIndex: leader.lastIndex() };

  for (let times = 0; times < 2; times += 1) await rewriteAsLeader(rewriteOf(cluster, id), recoverWith([]), "an administrator");
  cluster.clusterId = "next";
  const alone = await cluster.open(id);
  await cluster.leader([id]);
  await alone.barrier();
  expect([alone.catalog.joinToken("acknowledged"), alone.catalog.joinToken("tail")]).toMatchObject([{ usesLeft: 1 }, { usesLeft: 1 }]);
  expect(alone.catalog.cluster()).toMatchObject({
    clusterId: "next",
    former: [{ clusterId: "test", successor: "next", ...end }],
  });
  expect(alone.configuration().voters).toEqual([id]);
  expect(alone.status().term).toBeGreaterThan(40);
  expect(alone.catalog.head()?.index).toBeGreaterThan(head?.index ?? 0);
  expect(alone.catalog.joinToken("join")).toMatchObject({ revoked: true });
  expect((await alone.propose(tokenCommand("new"))).refused).toBeUndefined();
});

test("G1: a survivor whose log is behind, or has another end, gives that up and follows; what it had applied it serves meanwhile (G3)", async () => {
  const cluster = await clusterOf(3);
  const leader = await cluster.leader();
  const [behind = 0, lost = 0] = [1, 2, 3].filter((other) => other !== leader.self);
  for (const raftId of [2, 3])
    await leader.propose({ type: "member.add", member: factsOf(raftId), token: { id: "join", hash: SECRET_HASH } });
  await leader.propose(tokenCommand("known"));
  await cluster.until(() => cluster.node(behind).catalog.joinToken("known") !== undefined);
  await cluster.stop(behind);
  await leader.propose(tokenCommand("later"));
  for (const id of [leader.self, lost]) await cluster.stop(id);

  await rewriteAsLeader(rewriteOf(cluster, leader.self), recoverWith([]), "an administrator");
  for (let times = 0; times < 2; times += 1) await rewriteAsFollower(rewriteOf(cluster, behind), leader.self);
  cluster.clusterId = "next";
  cluster.formerCluster = "test";
  const follower = await cluster.open(behind);
  expect([follower.catalog.joinToken("known")?.usesLeft, follower.catalog.joinToken("later")]).toEqual([1, undefined]);
  await cluster.until(() => follower.status().cutOff);
  expect(await follower.barrier()).toBe("cutOff");
  const alone = await cluster.open(leader.self);
  await cluster.leader([leader.self]);
  expect(
    alone.proposeConfChange({ transition: "auto", changes: [{ type: "addLearner", nodeId: behind }], context: undefined }),
  ).toBeUndefined();
  await cluster.until(() => follower.catalog.cluster()?.clusterId === "next");
  await cluster.until(() => follower.status().appliedIndex === alone.status().appliedIndex);
  expect(Buffer.from(follower.seal())).toEqual(Buffer.from(alone.seal()));
  expect(follower.catalog.joinToken("later")).toMatchObject({ usesLeft: 1 });
  expect(cluster.failures).toEqual([]);
});
