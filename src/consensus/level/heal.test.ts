import { cp, mkdtemp, open as openFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { ConsensusError } from "../errors.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { levelStorage } from "./level-storage.ts";
import { MemoryCluster, tokenCommand } from "./memory-cluster.ts";

let cluster: MemoryCluster;
afterEach(() => cluster.close());

/** One after the other: those of one turn would share an entry. */
async function write(prefix: string, count = 30): Promise<void> {
  for (let at = 0; at < count; at += 1) await cluster.node(1).propose(tokenCommand(`${prefix}${at}`));
}

async function currentFolder(id: number): Promise<string> {
  const catalog = join(cluster.folder(id), "catalog");
  return join(catalog, (await readFile(join(catalog, "current"), "utf8")).trim());
}

/** Three nodes whose logs have been cut, with node 1 as their leader and node 3 stopped. */
async function withoutThird(): Promise<void> {
  cluster = await MemoryCluster.create(3, { keepEntries: 5 });
  const leader = await cluster.leader();
  if (leader.self !== 1) leader.transferLeader(1);
  await cluster.until(() => cluster.node(1).leads() && [2, 3].every((id) => cluster.node(id).status().leader === 1));
  await write("a");
  await write("b");
  await cluster.until(() => cluster.node(3).log.firstIndex() > 10 && cluster.node(3).status().appliedIndex > 50);
  await cluster.stop(3);
}

const promised = async () => {
  const log = await DurableRaftLog.open({ storage: levelStorage(cluster.folder(3)), fatal: () => undefined, bootstrap: undefined });
  const { term, vote } = log.hardState;
  const found = { term, vote, last: log.lastIndex() };
  await log.close();
  return found;
};

async function expectHealed(): Promise<void> {
  const node = cluster.node(3);
  await cluster.until(() => node.status().leader === 1);
  expect(await node.barrier()).toBe("fresh");
  await cluster.until(() => node.status().appliedIndex === cluster.node(1).status().appliedIndex);
  expect(Buffer.from(node.seal())).toEqual(Buffer.from(cluster.node(1).seal()));
  const { index } = await cluster.node(1).propose(tokenCommand("healed"));
  expect(await node.barrier()).toBe("fresh");
  expect(node.status().appliedIndex).toBeGreaterThanOrEqual(index);
}

const damages: readonly (readonly [string, (folder: string) => Promise<void>])[] = [
  ["lost its list of files", (folder) => rm(join(folder, "CURRENT"))],
  ["has one altered byte in a table", alterTable],
  ["is named wrongly", (folder) => writeFile(join(folder, "..", "current"), "db-7\n")],
];

async function alterTable(folder: string): Promise<void> {
  const name = (await readdir(folder)).find((each) => each.endsWith(".ldb"));
  if (name === undefined) throw new Error("the catalog has no table yet");
  const bytes = await readFile(join(folder, name));
  bytes[Math.floor(bytes.byteLength / 3)]! ^= 4;
  await writeFile(join(folder, name), bytes);
}

for (const [how, damage] of damages) {
  test(`a catalog that ${how} is set aside and fetched from another member; log, term and vote stay`, async () => {
    await withoutThird();
    // What LevelDB has in its log is in a table after another start.
    await cluster.open(3, [1, 2, 3]);
    await cluster.stop(3);
    const before = await promised();
    await damage(await currentFolder(3));
    await cluster.open(3, [1, 2, 3]);
    expect(await readdir(cluster.folder(3))).toContain("catalog.damaged-1");
    expect(cluster.node(3).lastIndex()).toBeGreaterThanOrEqual(before.last);
    expect(cluster.node(3).status().term).toBeGreaterThanOrEqual(before.term);
    await expectHealed();
  });
}

test("G2: a node without its catalog says nothing to the others and answers nobody until it has another one", async () => {
  await withoutThird();
  const before = await promised();
  await rm(join(await currentFolder(3), "CURRENT"));
  const said: string[] = [];
  cluster.network.filter = (from, _to, message) => {
    if (from === 3) said.push(message.kind);
    return true;
  };
  cluster.network.partition([3], [1, 2]);
  let opened = false;
  const opening = cluster.open(3, [1, 2, 3]).finally(() => {
    opened = true;
  });
  // An election among the others takes place without it.
  cluster.node(1).transferLeader(2);
  await cluster.until(() => cluster.node(2).leads() && cluster.node(1).status().leader === 2);
  cluster.node(2).transferLeader(1);
  await cluster.until(() => cluster.node(1).leads());
  await write("c");
  expect([opened, said]).toEqual([false, []]);
  cluster.network.heal();
  await opening;
  expect(cluster.node(3).status().term).toBeGreaterThanOrEqual(before.term);
  await expectHealed();
});

/** As the disk alters it under a database that is open: in place, half of each table. */
async function rot(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter((each) => each.endsWith(".ldb"))) {
    const file = await openFile(join(folder, name), "r+");
    const half = (await file.stat()).size >> 1;
    await file.write(Buffer.alloc(half, 0xff), 0, half, 0);
    await file.close();
  }
}

test("a catalog that the disk alters while it is open ends its node at the first read that finds it, and is fetched from another member at the next start", async () => {
  await withoutThird();
  // More than the few blocks that a start reads.
  await write("many", 600);
  const before = await cluster.open(3, [1, 2, 3]);
  await cluster.until(() => before.status().appliedIndex >= cluster.node(1).status().appliedIndex);
  await cluster.stop(3);
  const node = await cluster.open(3, [1, 2, 3]);
  await cluster.until(() => node.status().leader === 1);
  await rot(await currentFolder(3));
  const reads = Array.from({ length: 600 }, (_, at) => () => node.catalog.joinToken(`many${at}`));
  expect(() => reads.forEach((read) => void read())).toThrow(/Corruption/);
  expect(cluster.failures).toMatchObject([
    { code: "catalogCorrupt", message: expect.stringMatching(/the disk has altered it.*at its next start/) },
  ]);
  await cluster.stop(3);
  await cluster.open(3, [1, 2, 3]);
  expect(await readdir(cluster.folder(3))).toContain("catalog.damaged-1");
  await expectHealed();
});

test("a read of the log or of the catalog, of one row or of many, tells of what the disk has altered", async () => {
  cluster = new MemoryCluster(await mkdtemp(join(tmpdir(), "altered-")));
  const folder = cluster.folder(1);
  const rows = Array.from({ length: 200 }, (_, at) => ({ type: "put" as const, key: `k${at}`, value: Buffer.alloc(2_000, at) }));
  const all = async (scan: AsyncIterable<unknown>): Promise<void> => {
    for await (const _row of scan);
  };
  for (const part of ["log", "catalog"] as const) {
    const open = async () => {
      const storage = levelStorage(folder);
      const told: string[] = [];
      storage.onDamage?.((error) => told.push((error as ConsensusError).code));
      if (part === "log") return { told, database: await storage.openLog(Buffer.from("none")), path: join(folder, "raft") };
      const { current } = await storage.openCatalog();
      return { told, database: current, path: join(folder, "catalog", "db-1") };
    };
    const first = await open();
    await first.database.batch(rows, { sync: true });
    await first.database.close();
    const { told, database, path } = await open();
    const view = database.snapshot();
    await rot(path);
    expect(() => rows.forEach(({ key }) => void database.get(key))).toThrow();
    await expect(all(database.scan({ prefix: "" }))).rejects.toThrow();
    await expect(all(view.scan({ prefix: "" }))).rejects.toThrow();
    expect(told).toEqual(Array(3).fill(`${part}Corrupt`));
    await view.close();
    await database.close();
  }
});

test("a catalog of another cluster in this node's folder is refused, with what to do; without it, the node fetches its own", async () => {
  await withoutThird();
  const catalog = join(cluster.folder(3), "catalog");
  const other = new MemoryCluster(await mkdtemp(join(tmpdir(), "other-")));
  other.clusterId = "another";
  await other.open(1, [1]);
  await other.initialise();
  await other.stop(1);
  await rm(catalog, { recursive: true });
  await cp(join(other.folder(1), "catalog"), catalog, { recursive: true });
  await other.close();
  await expect(cluster.open(3, [1, 2, 3])).rejects.toMatchObject({
    code: "foreignFolder",
    message: expect.stringMatching(/of the cluster another, but the folder is of the cluster test.*take \S+catalog away/),
  });
  await rm(catalog, { recursive: true });
  await cluster.open(3, [1, 2, 3]);
  await expectHealed();
});

test("a catalog that is behind what the log still holds is fetched from another member", async () => {
  await withoutThird();
  await rm(join(cluster.folder(3), "catalog"), { recursive: true });
  await cluster.open(3, [1, 2, 3]);
  await expectHealed();
});

test("a copy of an earlier state of a folder, its catalog gone, is not healed: it ends and says what to do", async () => {
  await withoutThird();
  const copy = await mkdtemp(join(tmpdir(), "copy-"));
  await cp(cluster.folder(3), copy, { recursive: true });
  const node = await cluster.open(3, [1, 2, 3]);
  await cluster.until(() => node.status().leader === 1);
  // Answered by the leader, which has heard of that start then.
  expect(await node.barrier()).toBe("fresh");
  await cluster.stop(3);
  await rm(join(copy, "catalog"), { recursive: true });
  await expect(cluster.open(3, [1, 2, 3], copy)).rejects.toMatchObject({
    code: "outdated",
    message: expect.stringMatching(/Nothing is taken of start \d+ of member 3.*Replace the node/),
  });
  await rm(copy, { recursive: true });
});

test("the catalog of a node that is alone is left where it is, and the message says that there is no other", async () => {
  cluster = await MemoryCluster.create(1, { keepEntries: 3 });
  await write("a");
  await cluster.until(() => cluster.node(1).log.firstIndex() > 10);
  await cluster.stop(1);
  await rm(join(await currentFolder(1), "CURRENT"));
  await expect(cluster.open(1, [1])).rejects.toMatchObject({
    code: "catalogCorrupt",
    message: expect.stringMatching(/No other member.*from a backup/),
  });
  expect(await readdir(cluster.folder(1))).not.toContain("catalog.damaged-1");
});

test("the damaged catalog of a node that is alone is made again from a log that reaches back to the beginning", async () => {
  cluster = await MemoryCluster.create(1);
  await write("a");
  const index = cluster.node(1).status().appliedIndex;
  await cluster.stop(1);
  await rm(join(await currentFolder(1), "CURRENT"));
  const node = await cluster.open(1, [1]);
  await cluster.leader();
  expect(await node.barrier()).toBe("fresh");
  expect(node.status().appliedIndex).toBeGreaterThanOrEqual(index);
  expect(await readdir(cluster.folder(1))).toContain("catalog.damaged-1");
  expect((await node.propose(tokenCommand("more"))).refused).toBeUndefined();
});

test("a log of another node in this node's folder is refused, with what to do", async () => {
  await withoutThird();
  await cluster.stop(2);
  await rm(join(cluster.folder(3), "raft"), { recursive: true });
  await cp(join(cluster.folder(2), "raft"), join(cluster.folder(3), "raft"), { recursive: true });
  await expect(cluster.open(3, [1, 2, 3])).rejects.toMatchObject({
    code: "foreignFolder",
    message: expect.stringContaining("replace the node"),
  });
});
