import { cpSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { seededRandom } from "../../core/random.ts";
import { factsOf, SECRET_HASH } from "../../metadata/scenario.ts";
import type { Database, Storage } from "../database.ts";
import { type RecoverCommand, type Rewrite, rewriteAsFollower, rewriteAsLeader } from "../rewrite.ts";
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

/** Fails at the `at`th batch from now on, of log or catalog, whichever writes it; counts them. */
function failingStorage(folder: string, at: number): { storage: Storage; written: () => number } {
  const inner = levelStorage(folder);
  let batches = 0;
  const failing = (database: Database): Database => {
    const batch = database.batch.bind(database);
    database.batch = async (...args) => {
      batches += 1;
      if (batches >= at) throw new Error("the machine stops here");
      await batch(...args);
    };
    return database;
  };
  const storage: Storage = {
    ...inner,
    openLog: async (marker) => failing(await inner.openLog(marker)),
    openCatalog: async () => {
      const databases = await inner.openCatalog();
      failing(databases.current);
      return databases;
    },
  };
  return { storage, written: () => batches };
}

test("a rewrite that is cut off before any of its writes is made good by the next one, of the leader and of a follower", async () => {
  const cluster = await clusterOf(3);
  const leader = await cluster.leader();
  await leader.propose(tokenCommand("acknowledged"));
  await cluster.until(() => [1, 2, 3].every((id) => cluster.node(id).catalog.joinToken("acknowledged") !== undefined));
  for (const id of [1, 2, 3]) await cluster.stop(id);
  const other = [1, 2, 3].find((id) => id !== leader.self)!;
  for (const [id, run] of [
    [leader.self, (rewrite: Rewrite) => rewriteAsLeader(rewrite, recoverWith([]), "an administrator")],
    [other, (rewrite: Rewrite) => rewriteAsFollower(rewrite, leader.self)],
  ] as const) {
    for (let at = 1; ; at += 1) {
      const [cut, folder] = [`${cluster.folder(id)}-cut-${at}`, `${cluster.folder(id)}-${at}`];
      cpSync(cluster.folder(id), cut, { recursive: true });
      const { storage, written } = failingStorage(cut, at);
      const failed = await run({ ...rewriteOf(cluster, id), storage }).then(
        () => false,
        () => true,
      );
      // as the disk is: the process that has failed still holds what it had open
      cpSync(cut, folder, { recursive: true });
      if (failed) await run({ ...rewriteOf(cluster, id), storage: levelStorage(folder) });
      cluster.clusterId = "next";
      cluster.formerCluster = "test";
      const node = await cluster.open(id, undefined, folder);
      expect(node.configuration().voters).toEqual([leader.self]);
      expect(node.catalog.joinToken("acknowledged")).toBeDefined();
      expect(node.catalog.cluster()?.clusterId).toBe(id === leader.self ? "next" : "test");
      await cluster.stop(id);
      if (failed) continue;
      expect(written()).toBeGreaterThan(2);
      break;
    }
  }
});
