import { randomBytes } from "node:crypto";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { encode } from "../../core/codec.ts";
import type { ConfState, SnapshotMeta } from "../../raft/types.ts";
import { DurableCatalog } from "../catalog-store.ts";
import { orderedIndex } from "../database.ts";
import { openDatabase } from "./level-database.ts";
import { levelStorage } from "./level-storage.ts";

const ONE: ConfState = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const RAW = { cacheBytes: 2 ** 20, writeBufferBytes: 2 ** 22, compression: true };
let root = "";
let folder = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "catalog-"));
  folder = join(root, "catalog");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const never = (error: Error): void => {
  throw error;
};
const open = (sealBytes?: number) => openAt(root, sealBytes);
const openAt = (place: string, sealBytes?: number) =>
  DurableCatalog.open({
    storage: levelStorage(place),
    clock: systemClock,
    fatal: never,
    syncMs: 60_000,
    initial: { index: 1, term: 1, confState: ONE },
    ...(sealBytes === undefined ? {} : { sealBytes }),
  });
const bytes = (text: string): Uint8Array => Buffer.from(text);
const put = (store: DurableCatalog, index: number, changes: Record<string, string | undefined>, confState?: ConfState) =>
  store.applyBatch({
    entries: [{ index, seal: sealOf(index) }],
    changes: new Map(Object.entries(changes).map(([key, value]) => [key, value === undefined ? undefined : bytes(value)])),
    term: 1,
    confState,
  });
/** As a batch of its own in the database: a listing waits until it is there. */
const putAlone = async (store: DurableCatalog, index: number, changes: Record<string, string>) => {
  await put(store, index, changes);
  await store.scan("", "", 1);
};
const sealOf = (index: number): Uint8Array => Buffer.alloc(32, index);
const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString());
async function everything(store: { scan: DurableCatalog["scan"] }): Promise<string[]> {
  return (await store.scan("", "", 1000)).map(([key, value]) => `${key}=${text(value)}`);
}
const currentDatabase = async () => openDatabase(join(folder, (await readdir(folder)).find((name) => name.startsWith("db-"))!), RAW);

test("changes, applied index and configuration are one batch and there after a restart", async () => {
  const store = await open();
  const two: ConfState = { ...ONE, learners: [7] };
  await put(store, 2, { "tag/a": "1", "tag/b": "2" });
  await put(store, 3, { "tag/a": undefined, "tag/c": "3" }, two);
  const seal = store.seal;
  await store.close();
  const again = await open();
  expect([again.appliedIndex, again.appliedTerm, again.confState, text(again.get("tag/b")), again.get("tag/a")]).toEqual([
    3,
    1,
    two,
    "2",
    undefined,
  ]);
  expect(again.seal).toEqual(seal);
  expect(again.syncedIndex).toBe(3);
  await again.close();
});

test("a scan is in byte order, strictly after its start, and never shows seals or the neighbour's keys", async () => {
  const store = await open();
  await put(store, 2, { "t/a": "1", "t/é": "4", "t/Z": "0", "t/b": "2", "t/😀": "5", "u/a": "9", t: "8", "t/b/c": "3" });
  const keys = async (after: string, limit: number) => (await store.scan("t/", after, limit)).map(([key]) => key);
  expect(await keys("", 100)).toEqual(["t/Z", "t/a", "t/b", "t/b/c", "t/é", "t/😀"]);
  expect(await keys("b", 2)).toEqual(["t/b/c", "t/é"]);
  expect(await everything(store)).toHaveLength(8);
  await store.close();
});

test("a cached read sees each later write, and a cached absence ends with the write", async () => {
  const store = await open();
  expect(store.get("k")).toBeUndefined();
  await put(store, 2, { k: "1" });
  expect(text(store.get("k"))).toBe("1");
  expect(store.get("k")).toBe(store.get("k"));
  await put(store, 3, { k: "2" });
  expect(text(store.get("k"))).toBe("2");
  await put(store, 4, { k: undefined });
  expect(store.get("k")).toBeUndefined();
  await store.close();
});

test("synced listeners hear the index that is durable, once", async () => {
  const store = await open();
  const heard: number[] = [];
  store.onSynced((index) => heard.push(index));
  await put(store, 2, { a: "1" });
  await put(store, 3, { a: "2" });
  expect(heard).toEqual([]);
  await store.sync();
  await store.sync();
  expect(heard).toEqual([3]);
  await store.close();
});

test("the seal of a batch is that of its last entry that has one, each is told, and it is there after a restart", async () => {
  const store = await open();
  const told: (readonly [number, Uint8Array])[] = [];
  store.onSeal((index, seal) => told.push([index, seal]));
  await put(store, 2, { a: "1" });
  const entries = [3, 4, 5].map((index) => ({ index, seal: index === 5 ? undefined : sealOf(index) }));
  await store.applyBatch({ entries, changes: new Map([["b", bytes("2")]]), term: 1, confState: undefined });
  expect(told).toEqual([
    [2, sealOf(2)],
    [3, sealOf(3)],
    [4, sealOf(4)],
    [5, sealOf(4)],
  ]);
  await store.close();
  const again = await open();
  expect([again.appliedIndex, again.seal]).toEqual([5, sealOf(4)]);
  await again.close();
});

test("a seal that is missing in the middle is refused at open", async () => {
  const store = await open();
  for (let index = 2; index <= 9; index += 1) await putAlone(store, index, { [`k${index}`]: "v" });
  await store.close();
  const database = await currentDatabase();
  await database.batch([{ type: "del", key: `s${orderedIndex(5)}` }], { sync: true });
  await database.close();
  await expect(open()).rejects.toMatchObject({ code: "catalogCorrupt" });
});

test("a marker of a sync that stands beyond the applied index, or cannot be read, is refused at open: what it marked is gone", async () => {
  for (const marker of [encode(10), Uint8Array.of(0xc1), encode("9")]) {
    await rm(folder, { recursive: true, force: true });
    const store = await open();
    for (let index = 2; index <= 9; index += 1) await putAlone(store, index, { [`k${index}`]: "v" });
    await store.close();
    const database = await currentDatabase();
    await database.batch([{ type: "put", key: "y", value: encode(9) }], { sync: true });
    await database.close();
    await (await open()).close();
    const again = await currentDatabase();
    await again.batch([{ type: "put", key: "y", value: marker }], { sync: true });
    await again.close();
    await expect(open()).rejects.toMatchObject({ code: "catalogCorrupt" });
  }
});

test("what has applied since the last write is one batch: rows as the newest left them, and one seal", async () => {
  const store = await open();
  for (let index = 2; index <= 9; index += 1) await put(store, index, { same: `${index}`, [`k${index % 2}`]: "v" });
  await put(store, 10, { k1: undefined });
  expect([text(store.get("same")), store.get("k1")]).toEqual(["9", undefined]);
  await store.close();
  const database = await currentDatabase();
  const keys: string[] = [];
  for await (const [key] of database.scan({ prefix: "" })) keys.push(key);
  await database.close();
  expect(keys).toEqual(["ck0", "csame", "m", `s${orderedIndex(10)}`]);
  const again = await open();
  expect([again.appliedIndex, text(again.get("same"))]).toEqual([10, "9"]);
  await again.close();
});

test("an applied index without its seal, and a seal above the applied index, are refused at open", async () => {
  const store = await open();
  for (let index = 2; index <= 4; index += 1) await put(store, index, { k: "v" });
  await store.close();
  const database = await currentDatabase();
  const seal = database.get(`s${orderedIndex(4)}`);
  await database.batch([{ type: "del", key: `s${orderedIndex(4)}` }], { sync: true });
  await database.close();
  await expect(open()).rejects.toMatchObject({ code: "catalogCorrupt" });
  const again = await currentDatabase();
  await again.batch(
    [
      { type: "put", key: `s${orderedIndex(4)}`, value: seal! },
      { type: "put", key: `s${orderedIndex(6)}`, value: seal! },
    ],
    { sync: true },
  );
  await again.close();
  await expect(open()).rejects.toMatchObject({ code: "catalogCorrupt" });
});

test("old seals are pruned, and what is left still opens", async () => {
  const store = await open(2_000);
  for (let index = 2; index <= 60; index += 1) await putAlone(store, index, { k: "v" });
  await store.close();
  const database = await currentDatabase();
  const seals: string[] = [];
  for await (const [key] of database.scan({ prefix: "s" })) seals.push(key);
  await database.close();
  expect(seals.length).toBeGreaterThan(2);
  expect(seals.length).toBeLessThan(12);
  const again = await open(2_000);
  expect(again.appliedIndex).toBe(60);
  await again.close();
});

test("a snapshot reads one state while applying goes on", async () => {
  const store = await open();
  await put(store, 2, { a: "1" });
  const snapshot = await store.snapshot();
  await put(store, 3, { a: "2", b: "3" });
  expect([snapshot.meta, await everything(snapshot), text(snapshot.get("a"))]).toEqual([
    { index: 2, term: 1, confState: ONE },
    ["a=1"],
    "1",
  ]);
  await snapshot.close();
  await store.close();
});

async function staged(store: DurableCatalog, meta: SnapshotMeta, seal: Uint8Array, rows: Record<string, string>) {
  const staging = await store.stage(meta, seal);
  await staging.write(Object.entries(rows).map(([key, value]) => ({ key, value: bytes(value) })));
  await staging.finish();
  return staging;
}

test("an installed snapshot replaces everything, and applying goes on from it", async () => {
  const store = await open();
  await put(store, 2, { old: "1" });
  const meta = { index: 50, term: 4, confState: { ...ONE, voters: [1, 2] } };
  const staging = await staged(store, meta, Buffer.alloc(32, 7), { new: "2" });
  await put(store, 3, { meanwhile: "1" });
  expect(await everything(store)).toEqual(["meanwhile=1", "old=1"]);
  await staging.commit();
  expect([store.appliedIndex, store.syncedIndex, await everything(store), store.get("old")]).toEqual([50, 50, ["new=2"], undefined]);
  await put(store, 51, { more: "3" });
  await store.close();
  const again = await open();
  expect([again.appliedIndex, again.confState.voters, await everything(again)]).toEqual([51, [1, 2], ["more=3", "new=2"]]);
  expect((await readdir(folder)).filter((name) => name.startsWith("db-"))).toEqual(["db-2"]);
  await again.close();
});

test("G1: an installed snapshot that has lost rows from the middle of the database's own log is not opened", async () => {
  const store = await open();
  const staging = await store.stage({ index: 50, term: 4, confState: ONE }, sealOf(50));
  // Each longer than one of LevelDB's blocks, which goes as a whole where a record in it is altered.
  const parts = [1, 2, 3].map((at) => [{ key: `part${at}`, value: randomBytes(40_000) }]);
  for (const rows of parts) await staging.write(rows);
  await staging.finish();
  await staging.commit();
  await store.close();
  const altered = join(root, "altered");
  await cp(folder, join(altered, "catalog"), { recursive: true });
  const database = join(altered, "catalog", "db-2");
  const log = join(database, (await readdir(database)).find((name) => name.endsWith(".log"))!);
  const content = await readFile(log);
  content[60_000]! ^= 1;
  await writeFile(log, content);
  await expect(openAt(altered)).rejects.toMatchObject({
    code: "catalogCorrupt",
    message: expect.stringContaining("parts of the snapshot"),
  });
  const again = await open();
  expect(again.appliedIndex).toBe(50);
  await again.close();
});

test("an install that is given up in the middle leaves the old state whole", async () => {
  const store = await open();
  await put(store, 2, { old: "1" });
  const staging = await store.stage({ index: 50, term: 4, confState: ONE }, new Uint8Array(32));
  await staging.write([{ key: "new", value: bytes("2") }]);
  await staging.discard();
  expect([store.appliedIndex, await everything(store)]).toEqual([2, ["old=1"]]);
  await put(store, 3, { more: "1" });
  await store.close();
});

test("what a crash left of an install is dropped at open", async () => {
  const store = await open();
  await put(store, 2, { old: "1" });
  await store.close();
  await mkdir(join(folder, "db-2"));
  await writeFile(join(folder, "db-2", "CURRENT"), "half");
  const again = await open();
  expect([again.appliedIndex, await everything(again)]).toEqual([2, ["old=1"]]);
  expect(await readdir(folder)).not.toContain("db-2");
  await again.close();
});

test("a snapshot that was staged and not put in place is gone after a restart, as by a crash", async () => {
  const store = await open();
  await put(store, 2, { old: "1" });
  await staged(store, { index: 50, term: 4, confState: ONE }, new Uint8Array(32), { new: "2" });
  await store.close();
  const again = await open();
  expect([again.appliedIndex, again.installedIndex, await everything(again)]).toEqual([2, 0, ["old=1"]]);
  await again.close();
});
