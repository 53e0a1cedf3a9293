import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ConfState, Entry } from "../../raft/types.ts";
import { type Database, orderedIndex } from "../database.ts";
import { DurableRaftLog } from "../raft-log.ts";
import type { LogWork } from "../store.ts";
import { openDatabase } from "./level-database.ts";
import { levelStorage } from "./level-storage.ts";

const ONE: ConfState = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const RAW = { cacheBytes: 2 ** 20, writeBufferBytes: 2 ** 22, compression: false };
let root = "";
let folder = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "raft-log-"));
  folder = join(root, "raft");
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Another log may begin: also what was said of the old one is gone. */
async function clear(): Promise<void> {
  for (const name of await readdir(root)) await rm(join(root, name), { recursive: true });
}
const put = (database: Database, key: string, value: Uint8Array) => database.batch([{ type: "put", key, value }], { sync: true });
const del = (database: Database, key: string) => database.batch([{ type: "del", key }], { sync: true });
const never = (error: Error): void => {
  throw error;
};
const open = (tailBytes?: number) =>
  DurableRaftLog.open({ storage: levelStorage(root), fatal: never, bootstrap: ONE, ...(tailBytes === undefined ? {} : { tailBytes }) });
const entry = (index: number, term: number, text = `entry ${index}`): Entry => ({ index, term, type: "normal", data: Buffer.from(text) });
const range = (from: number, to: number, term: number, text?: string): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, at) => entry(from + at, term, text));
const work = (entries: Entry[], rest: Partial<LogWork> = {}): LogWork => ({
  hardState: undefined,
  snapshot: undefined,
  ...rest,
  entries,
});
const texts = (log: DurableRaftLog): string[] => {
  const found = log.entries(log.firstIndex(), log.lastIndex() + 1, Number.POSITIVE_INFINITY);
  if (typeof found === "string") throw new Error(found);
  return found.map(({ index, term, data }) => `${index}/${term} ${Buffer.from(data ?? []).toString()}`);
};

test("a fresh log begins with the synthetic snapshot of the bootstrap", async () => {
  const log = await open();
  expect([log.firstIndex(), log.lastIndex(), log.term(1)]).toEqual([2, 1, 1]);
  expect(log.initialState().hardState).toEqual({ term: 1, vote: 0, commit: 1 });
  expect(log.bootstrap).toEqual({ index: 1, term: 1, confState: ONE });
  await log.close();
});

test("entries and hard state are there after a restart, also those beyond the tail in memory", async () => {
  const log = await open(64);
  await log.append(work(range(2, 40, 1), { hardState: { term: 1, vote: 1, commit: 1 } }));
  await log.append(work([], { hardState: { term: 2, vote: 3, commit: 39 } }));
  const written = texts(log);
  await log.close();
  const again = await open(64);
  expect(texts(again)).toEqual(written);
  expect(again.hardState).toEqual({ term: 2, vote: 3, commit: 39 });
  expect(again.entries(5, 30, 50)).toHaveLength(2);
  expect(again.entries(5, 30, 1)).toHaveLength(1);
  await again.close();
});

test("an entry without data comes back without data, and conf changes keep their type", async () => {
  const log = await open(1);
  await log.append(
    work([
      { index: 2, term: 1, type: "confChangeV2", data: undefined },
      { index: 3, term: 1, type: "confChange", data: new Uint8Array(0) },
      entry(4, 1),
    ]),
  );
  const found = log.entries(2, 4, 1e9) as Entry[];
  expect(found[0]).toEqual({ index: 2, term: 1, type: "confChangeV2", data: undefined });
  expect(found[1]?.type).toBe("confChange");
  expect(found[1]?.data).toHaveLength(0);
  await log.close();
});

test("a conflicting suffix is replaced, on disk too", async () => {
  const log = await open();
  await log.append(work(range(2, 20, 1)));
  await log.append(work([entry(5, 2, "new")], { hardState: { term: 2, vote: 0, commit: 4 } }));
  expect(log.lastIndex()).toBe(5);
  await log.close();
  const again = await open();
  expect(texts(again)).toEqual(["2/1 entry 2", "3/1 entry 3", "4/1 entry 4", "5/2 new"]);
  await again.close();
});

test("works that wait together are written in order", async () => {
  const log = await open();
  const works = [work(range(2, 6, 1)), work(range(4, 5, 2, "two")), work([entry(6, 2, "three")])];
  await Promise.all([...works.map((each) => log.append(each)), log.append(work([], { hardState: { term: 2, vote: 0, commit: 6 } }))]);
  await log.close();
  const again = await open();
  expect(texts(again)).toEqual(["2/1 entry 2", "3/1 entry 3", "4/2 two", "5/2 two", "6/2 three"]);
  await again.close();
});

test("compaction forgets what lies at or below the index and keeps its term", async () => {
  const log = await open(64);
  await log.append(work(range(2, 30, 1), { hardState: { term: 1, vote: 1, commit: 30 } }));
  await log.compact(20);
  expect([log.firstIndex(), log.term(20), log.term(19), log.entries(20, 22, 1e9)]).toEqual([21, 1, "compacted", "compacted"]);
  await log.close();
  const again = await open();
  expect([again.firstIndex(), again.lastIndex(), again.term(20), texts(again)[0]]).toEqual([21, 30, 1, "21/1 entry 21"]);
  await again.close();
});

test("an installed snapshot replaces the whole log", async () => {
  const log = await open();
  await log.append(work(range(2, 10, 1)));
  await log.append(work([], { hardState: { term: 3, vote: 0, commit: 50 }, snapshot: { index: 50, term: 3, confState: ONE } }));
  await log.append(work([entry(51, 3)]));
  await log.close();
  const again = await open();
  expect([again.firstIndex(), again.term(50), texts(again)]).toEqual([51, 3, ["51/3 entry 51"]]);
  await again.close();
});

test("a log in use by another opener is refused with the folder's name", async () => {
  const log = await open();
  await expect(open()).rejects.toMatchObject({ code: "folderInUse" });
  await log.close();
});

async function tamper(edit: (database: Awaited<ReturnType<typeof openDatabase>>) => Promise<void>): Promise<void> {
  const log = await open();
  for (const each of range(2, 9, 1)) await log.append(work([each], { hardState: { term: 1, vote: 1, commit: 2 } }));
  await log.close();
  const database = await openDatabase(folder, RAW);
  await edit(database);
  await database.close();
}

test("an altered entry is refused at open", async () => {
  await tamper(async (database) => {
    const key = `e${orderedIndex(5)}`;
    const bytes = Buffer.from(database.get(key) ?? []);
    bytes[bytes.length - 1]! ^= 1;
    await put(database, key, bytes);
  });
  await expect(open()).rejects.toMatchObject({ code: "logCorrupt", message: expect.stringContaining("entry 5 is altered") });
});

test("an altered entry is refused at open in the middle of what was written with it", async () => {
  const log = await open();
  await log.append(work(range(2, 9, 1)));
  await log.close();
  const database = await openDatabase(folder, RAW);
  const bytes = Buffer.from(database.get(`e${orderedIndex(2)}`) ?? []);
  bytes[bytes.indexOf("entry 5")]! ^= 1;
  await put(database, `e${orderedIndex(2)}`, bytes);
  await database.close();
  await expect(open()).rejects.toMatchObject({ code: "logCorrupt", message: expect.stringContaining("entry 5 is altered") });
});

test("a record under another index is refused at open", async () => {
  await tamper(async (database) => {
    await put(database, `e${orderedIndex(5)}`, database.get(`e${orderedIndex(6)}`) ?? new Uint8Array());
  });
  await expect(open()).rejects.toMatchObject({ code: "logCorrupt" });
});

test("a missing entry is refused at open, in the middle and at the end", async () => {
  await tamper((database) => del(database, `e${orderedIndex(5)}`));
  await expect(open()).rejects.toMatchObject({ message: expect.stringContaining("entry 5 is missing") });
  await clear();
  await tamper((database) => del(database, `e${orderedIndex(9)}`));
  await expect(open()).rejects.toMatchObject({ message: expect.stringContaining("ends at 8") });
});

/** Alters one byte of LevelDB's own log, at `at`, or before its end where that is negative. */
async function rot(at: number): Promise<void> {
  const name = (await readdir(folder)).find((file) => file.endsWith(".log"))!;
  const bytes = await readFile(join(folder, name));
  bytes[at < 0 ? bytes.byteLength + at : at]! ^= 0xff;
  await writeFile(join(folder, name), bytes);
}

const voted = (term: number): LogWork => work([], { hardState: { term, vote: 1, commit: 1 } });

test("a batch that LevelDB dropped from the middle of its own log is seen, whatever it held", async () => {
  const big = "x".repeat(40_000);
  for (const at of [60_000, 100_000]) {
    const log = await open();
    await log.append(work([entry(2, 1, big)]));
    await log.append(work([entry(3, 1, big)], { hardState: { term: 1, vote: 1, commit: 2 } }));
    await log.append(work([entry(4, 1, big)]));
    await log.append(work([entry(2, 2, big), entry(3, 2, big), entry(4, 2, big)], { hardState: { term: 2, vote: 2, commit: 2 } }));
    await log.close();
    await rot(at);
    await expect(open()).rejects.toMatchObject({ code: "logCorrupt" });
    await clear();
  }
});

test("a vote that LevelDB would drop without a word, with others after it in its block, is seen", async () => {
  for (const at of [20, 90, 130, 200]) {
    const log = await open();
    for (let term = 2; term <= 6; term += 1) await log.append(voted(term));
    await log.close();
    await rot(at);
    await expect(open()).rejects.toMatchObject({ code: "logCorrupt" });
    await clear();
  }
});

test("a last record that was torn is dropped, and the log opens with what came before it", async () => {
  const log = await open();
  for (let term = 2; term <= 4; term += 1) await log.append(voted(term));
  await log.close();
  const name = (await readdir(folder)).find((file) => file.endsWith(".log"))!;
  const bytes = await readFile(join(folder, name));
  await writeFile(join(folder, name), bytes.subarray(0, bytes.byteLength - 10));
  // Nobody was told of a write that a power cut tore.
  await rm(join(root, "raft.witness"));
  const again = await open();
  expect(again.hardState.term).toBe(3);
  await again.close();
});

test("commit indexes that were not synced may be lost from the middle", async () => {
  const log = await open();
  await log.append(voted(2));
  for (let commit = 2; commit <= 5; commit += 1) await log.append(work([entry(commit, 2)]));
  const size = async () => (await readFile(join(folder, (await readdir(folder)).find((file) => file.endsWith(".log"))!))).byteLength;
  const before = await size();
  for (let commit = 2; commit <= 5; commit += 1) await log.append(work([], { hardState: { term: 2, vote: 1, commit } }));
  await log.close();
  await rot(before + 40);
  const again = await open();
  expect([again.hardState.term, again.lastIndex()]).toEqual([2, 5]);
  await again.close();
});
