import { cp, rm } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import { MemoryCluster, tokenCommand } from "./level/memory-cluster.ts";

let cluster: MemoryCluster;
afterEach(() => cluster.close());

const outdated = () => cluster.failures.filter((error) => "code" in error && error.code === "outdated");
const write = (prefix: string) =>
  Promise.all(Array.from({ length: 20 }, (_, at) => cluster.node(1).propose(tokenCommand(`${prefix}${at}`))));

/** Writes on until a node has been told that it is outdated; ended otherwise, it never would be. */
async function writeUntilTold(): Promise<void> {
  for (let round = 0; outdated().length === 0; round += 1) {
    expect(cluster.failures).toEqual([]);
    await write(`round${round}-`);
  }
}

/** A cluster that node 1 does not leave, and a copy of node 3's folder as it was before `since`. */
async function withBackup(since: () => Promise<unknown>): Promise<string> {
  cluster = await MemoryCluster.create(3);
  await write("before");
  const backup = `${cluster.folder(3)}-backup`;
  await cluster.stop(3);
  await cp(cluster.folder(3), backup, { recursive: true });
  await since();
  return backup;
}

async function caughtUp(): Promise<void> {
  await cluster.leader();
  expect(await cluster.node(3).barrier()).toBe("fresh");
}

test("G1: a node whose disk was put back from a backup of an earlier run is told so, and ends", async () => {
  const backup = await withBackup(async () => {
    for (let round = 0; round < 2; round += 1) {
      await cluster.open(3, [1, 2, 3]);
      await caughtUp();
      await cluster.stop(3);
    }
  });
  await cluster.open(3, [1, 2, 3], backup);
  // Where leadership has moved, whoever knows of the later start need not lead: node 3 speaks to every member with its next seal.
  await writeUntilTold();
  expect(outdated()).toHaveLength(1);
  expect(outdated()[0]?.message).toMatch(/older than what it promised.*Replace the node/);
  await write("after");
});

test("G1: a node put back from a backup is told so though the leader has heard of none of its later starts", async () => {
  const lead = async (id: number): Promise<void> => {
    const leader = await cluster.leader([1, 2]);
    if (leader.self !== id) leader.transferLeader(id);
    await cluster.until(() => cluster.node(id).leads() && cluster.node(3 - id).status().leader === id);
  };
  const backup = await withBackup(async () => {
    await lead(2);
    cluster.network.filter = (from, to) => !(from === 3 && to === 1);
    for (let round = 0; round < 2; round += 1) {
      await cluster.open(3, [1, 2, 3]);
      await cluster.until(
        () => cluster.node(3).status().leader === 2 && cluster.node(3).status().appliedIndex >= cluster.node(2).status().appliedIndex,
      );
      expect(await cluster.node(3).barrier()).toBe("fresh");
      await cluster.stop(3);
    }
    await lead(1);
  });
  // As where the leader's heartbeat comes first, so that it asks nobody else.
  cluster.network.filter = (from, to, message) => !(from === 3 && to === 2 && message.kind !== "seal");
  await cluster.open(3, [1, 2, 3], backup);
  await writeUntilTold();
  expect(outdated()[0]?.message).toContain("older than what it promised");
});

test("G1: a backup of before the last run is told so though two of its starts have died before anyone heard them", async () => {
  const backup = await withBackup(async () => {
    await cluster.open(3, [1, 2, 3]);
    await caughtUp();
    await cluster.stop(3);
  });
  await startsAfterTwoUnheard(backup);
  expect(outdated()[0]?.message).toContain("knows nothing of an earlier start");
  await write("after");
});

test("G1: a backup of the very last run is found out by what the node has acknowledged since", async () => {
  cluster = await MemoryCluster.create(3);
  await write("before");
  await caughtUp();
  // A copy of a folder that nothing is written to meanwhile, as of a snapshot of its volume.
  cluster.network.filter = (from, to) => from !== 3 && to !== 3;
  await cluster.until(() => cluster.node(3).status().syncedIndex === cluster.node(3).status().appliedIndex);
  const backup = `${cluster.folder(3)}-backup`;
  await cp(cluster.folder(3), backup, { recursive: true });
  cluster.network.filter = () => true;
  await write("since");
  await caughtUp();
  await cluster.stop(3);
  await startsAfterTwoUnheard(backup);
  expect(outdated()[0]?.message).toContain("lacks what the node has acknowledged");
  await write("after");
});

/** Starts node 3 from the backup in place of its disk. Its number is past what the others know by then, without its having said a word. */
async function startsAfterTwoUnheard(backup: string): Promise<void> {
  await rm(cluster.folder(3), { recursive: true });
  cluster.network.filter = (from, to) => from !== 3 && to !== 3;
  for (let start = 0; start < 2; start += 1) {
    await cluster.open(3, [1, 2, 3], backup);
    await cluster.stop(3);
  }
  // It speaks before it hears of what it lacks.
  cluster.network.filter = (_from, to) => to !== 3;
  await cluster.open(3, [1, 2, 3], backup);
  await cluster.until(() => outdated().length > 0);
}

test("G1: of two processes on copies of one disk the one that comes later is told so, and ends; the cluster goes on", async () => {
  const backup = await withBackup(async () => undefined);
  const original = await cluster.open(3, [1, 2, 3]);
  await caughtUp();
  cluster.network.filter = (_from, to) => to !== 3;
  const copy = await cluster.open(3, [1, 2, 3], backup);
  await cluster.until(() => outdated().length > 0);
  expect(outdated()).toHaveLength(1);
  expect(outdated()[0]?.message).toContain("started from a copy");
  await expect(copy.propose(tokenCommand("copy"))).rejects.toThrow("stopping");
  await write("after");
  expect(cluster.failures).toHaveLength(1);
  await original.close();
});

test("an ordinary restart is none of that, however often, and what an earlier start still had under way harms nobody", async () => {
  cluster = await MemoryCluster.create(3);
  for (let round = 0; round < 3; round += 1) {
    await write(`${round}-`);
    for (const id of [3, 2]) {
      await cluster.stop(id);
      await cluster.open(id, [1, 2, 3]);
      await caughtUp();
    }
  }
  expect(cluster.failures).toEqual([]);
});
