import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import type { ConfState } from "../../raft/types.ts";
import { DurableCatalog } from "../catalog-store.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { levelStorage } from "./level-storage.ts";
import { MemoryCluster, tokenCommand } from "./memory-cluster.ts";

let cluster: MemoryCluster;
afterEach(() => cluster.close());

const never = (error: Error): void => {
  throw error;
};
const openLog = () => DurableRaftLog.open({ storage: levelStorage(cluster.folder(1)), fatal: never, bootstrap: undefined });
const openStore = () => DurableCatalog.open({ storage: levelStorage(cluster.folder(1)), clock: systemClock, fatal: never });

async function stopped(): Promise<{ applied: number; conf: ConfState }> {
  cluster = await MemoryCluster.create(1, { keepEntries: 3 });
  for (let at = 0; at < 30; at += 1) await cluster.node(1).propose(tokenCommand(`t${at}`));
  const applied = cluster.node(1).status().appliedIndex;
  const conf = cluster.node(1).configuration();
  await cluster.stop(1);
  return { applied, conf };
}

test("a folder in use is refused with a code and the folder's name", async () => {
  cluster = await MemoryCluster.create(1);
  await expect(cluster.open(1, [1])).rejects.toMatchObject({
    code: "folderInUse",
    message: expect.stringContaining("in use by another process"),
  });
});

test("a snapshot that was put in place before the log was told is taken up after the crash", async () => {
  const { conf } = await stopped();
  const store = await openStore();
  const staging = await store.stage({ index: 500, term: 9, confState: conf }, Buffer.alloc(32, 1));
  await staging.write([{ key: "k", value: Buffer.from("v") }]);
  await staging.finish();
  await staging.commit();
  await store.close();
  const node = await cluster.open(1, [1]);
  await cluster.leader();
  expect(node.status().term).toBeGreaterThan(9);
  expect(await node.barrier()).toBe("fresh");
  expect(node.status().appliedIndex).toBeGreaterThan(500);
  expect(node.log.firstIndex()).toBe(501);
});

test("a catalog that is behind what the log still holds is reinstalled, not served", async () => {
  await stopped();
  const log = await openLog();
  await log.compact(20);
  await log.close();
  await rm(join(cluster.folder(1), "catalog"), { recursive: true });
  await expect(cluster.open(1, [1])).rejects.toMatchObject({ code: "catalogCorrupt" });
});

test("a catalog that was lost while the log reaches back to the beginning is made again from the log", async () => {
  cluster = await MemoryCluster.create(1);
  for (let at = 0; at < 10; at += 1) await cluster.node(1).propose(tokenCommand(`t${at}`));
  await cluster.stop(1);
  await rm(join(cluster.folder(1), "catalog"), { recursive: true });
  const node = await cluster.open(1, [1]);
  await cluster.leader();
  expect(await node.barrier()).toBe("fresh");
  expect(node.catalog.members()).toHaveLength(1);
});

test("a log that lacks what the catalog has applied is refused: its votes and entries were lost", async () => {
  await stopped();
  await rm(join(cluster.folder(1), "raft"), { recursive: true });
  await expect(cluster.open(1, [1])).rejects.toMatchObject({ code: "logCorrupt" });
});

test("the catalog of another member of the same cluster is refused, in one line that says what to do; taken away, it comes from the others", async () => {
  cluster = await MemoryCluster.create(2);
  for (const each of [2, 1]) await cluster.stop(each);
  const own = join(cluster.folder(1), "catalog");
  await rm(own, { recursive: true });
  await cp(join(cluster.folder(2), "catalog"), own, { recursive: true });
  await expect(cluster.open(1)).rejects.toMatchObject({
    code: "foreignFolder",
    message: expect.stringMatching(
      /^The catalog in .* is of node 2 of the cluster test, but the folder is of node 1 .* or take .*catalog away.*\.$/,
    ),
  });
  await rm(own, { recursive: true });
  await cluster.open(2);
  await cluster.open(1);
  await cluster.leader();
  expect(await cluster.node(1).barrier()).toBe("fresh");
});
