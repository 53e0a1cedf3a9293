import { open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { makeImage } from "../harness/image.ts";

/** One for all tests: what each of them damages is healed, but for the last one's. */
let running: Cluster;
beforeAll(async () => {
  running = await withCutLogs();
});
afterAll(() => running.stop());

const text = (line: Record<string, unknown>): string => String(line.msg);

/** A cluster whose logs do not reach back to the beginning any more. */
async function withCutLogs(): Promise<Cluster> {
  const cluster = await startCluster({ env: { ROADSTEAD_RAFT_LOG_KEEP: "10" } });
  const image = makeImage(3, 1, 20_000);
  for (let at = 0; at < 15; at += 1) await pushImage(() => cluster.nodes[at % 3]!.url, "damage/app", `v${at}`, image);
  return cluster;
}

async function alter(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.byteLength >> 1]! ^= 16;
  await writeFile(path, bytes);
}

/** What LevelDB has in its log is in a table after another start. */
async function restart(node: ClusterNode): Promise<void> {
  await node.kill("SIGTERM");
  await node.start();
  await node.kill("SIGTERM");
}

test("a node whose catalog is damaged fetches it from another member and serves again, the founder too", async () => {
  const [first] = running.nodes as [ClusterNode, ...ClusterNode[]];
  await restart(first);
  const catalog = join(first.data, "catalog", (await readFile(join(first.data, "catalog", "current"), "utf8")).trim());
  for (const name of await readdir(catalog)) if (name.endsWith(".ldb")) await alter(join(catalog, name));
  await first.start();
  expect(first.log.map(text)).toContainEqual(expect.stringContaining("the catalog is damaged and was set aside"));
  expect(await readdir(first.data)).toContain("catalog.damaged-1");
  const image = makeImage(3, 1, 20_000);
  for (const tag of ["v0", "v14"]) await pullImage(first.url, "damage/app", tag, image);
  await pushImage(() => first.url, "damage/app", "after", image);
}, 180_000);

test("a node whose catalog the disk alters while it runs ends and says why, and serves again from its next start on", async () => {
  const [, second] = running.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await restart(second);
  await second.start();
  const catalog = join(second.data, "catalog", (await readFile(join(second.data, "catalog", "current"), "utf8")).trim());
  for (const name of (await readdir(catalog)).filter((each) => each.endsWith(".ldb"))) {
    const file = await open(join(catalog, name), "r+");
    const half = (await file.stat()).size >> 1;
    await file.write(Buffer.alloc(half, 0xff), 0, half, 0);
    await file.close();
  }
  // By the first read that meets it, or where all is in memory still, by the check of the tables.
  const image = makeImage(3, 1, 20_000);
  for (let at = 0; second.running; at += 1) await pullImage(second.url, "damage/app", `v${at % 15}`, image).catch(() => undefined);
  expect(second.log.map(text)).toContainEqual(
    expect.stringMatching(/The catalog in \S+ is damaged: a read found that the disk has altered it/),
  );
  await second.start();
  expect(await readdir(second.data)).toContain("catalog.damaged-1");
  for (const tag of ["v0", "v14"]) await pullImage(second.url, "damage/app", tag, image);
}, 180_000);

test("G1: a node whose Raft log is damaged or cut short does not start, and says in one line what to do", async () => {
  const [, second, third] = running.nodes as [ClusterNode, ClusterNode, ClusterNode];
  await restart(second);
  const raft = join(second.data, "raft");
  for (const name of await readdir(raft)) if (name.endsWith(".ldb")) await alter(join(raft, name));
  await expect(second.start()).rejects.toThrow(
    /The Raft log in \S+ is damaged: .*Replace the node: remove it, and join with an empty folder/,
  );
  await third.kill("SIGKILL");
  const logs = (await readdir(join(third.data, "raft"))).filter((name) => name.endsWith(".log"));
  for (const name of logs) await truncate(join(third.data, "raft", name), 100);
  await expect(third.start()).rejects.toThrow(/is damaged: .*Replace the node/);
  await rm(join(third.data, "raft"), { recursive: true });
  await expect(third.start()).rejects.toThrow(/replace it by a node with an empty folder/);
}, 180_000);
