import { mkdtemp, open as openFile, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "../../core/log.ts";
import { ManualClock } from "../manual-clock.ts";
import { liveTables } from "./folder-check.ts";
import { type LevelDatabase, openDatabase } from "./level-database.ts";
import { levelStorage } from "./level-storage.ts";
import { TableWatch } from "./table-watch.ts";

const OPTIONS = { cacheBytes: 0, writeBufferBytes: 64 * 1024, compression: true };
let folder: string;
let database: LevelDatabase;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "table-watch-"));
  database = await openDatabase(folder, OPTIONS);
});
afterEach(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

async function write(from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += 1)
    await database.batch([{ type: "put", key: `k/${at % 700}`, value: Buffer.from(`row ${at} `.repeat(40)) }], { sync: false });
}

/** One bit, in place, under the open database. */
async function alter(path: string, at: number): Promise<void> {
  const file = await openFile(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0]! ^= 1;
  await file.write(byte, 0, 1, at);
  await file.close();
}

test("the tables of an open database are found whole, however they are written and dropped meanwhile", async () => {
  const told: string[] = [];
  const watch = new TableWatch({ folder: () => folder, clock: new ManualClock(), altered: (reason) => void told.push(reason) });
  let running = true;
  const looking = (async () => {
    for (let count = 0; running || count < 20; count += 1) await watch.look();
  })();
  await write(0, 6_000);
  running = false;
  await looking;
  expect(told).toEqual([]);
  watch.close();
});

test("a bit that the disk alters in a table is found once each table was looked at, whether LevelDB would notice or not, and told once", async () => {
  // So few that LevelDB does not begin to merge them.
  await write(0, 350);
  await database.close();
  database = await openDatabase(folder, OPTIONS);
  const tables = await liveTables(folder);
  expect(tables.length).toBeGreaterThan(1);
  for (const name of tables) {
    const told: string[] = [];
    const clock = new ManualClock();
    const watch = new TableWatch({ folder: () => folder, clock, altered: (reason) => void told.push(reason) });
    const at = (await readFile(join(folder, name))).byteLength >> 1;
    await alter(join(folder, name), at);
    for (let count = 0; count < 2 * tables.length; count += 1) await watch.look();
    expect(told).toEqual([expect.stringMatching(new RegExp(`^the table ${name} is damaged: the block at byte \\d+ is altered$`))]);
    await alter(join(folder, name), at);
  }
});

test("the catalog of a node is looked at from time to time while it is open, and no more once it is closed", async () => {
  const place = await mkdtemp(join(tmpdir(), "watched-"));
  const clock = new ManualClock();
  const open = async () => {
    const storage = levelStorage(place, { patience: { clock, log: silentLog, signal: new AbortController().signal } });
    const told = new Promise<Error>((resolve) => storage.onDamage?.(resolve));
    return { told, catalog: await storage.openCatalog() };
  };
  const first = await open();
  for (let at = 0; at < 100; at += 1)
    await first.catalog.current.batch([{ type: "put", key: `k${at}`, value: Buffer.alloc(900, at) }], { sync: true });
  await first.catalog.close();
  const { told, catalog } = await open();
  const [name = ""] = (await readdir(join(place, "catalog", "db-1"))).filter((each) => each.endsWith(".ldb"));
  await alter(join(place, "catalog", "db-1", name), 40);
  clock.advance(30_000);
  expect(await told).toMatchObject({
    code: "catalogCorrupt",
    message: expect.stringMatching(/the table .* is damaged.*at its next start/),
  });
  await catalog.close();
  await rm(place, { recursive: true, force: true });
});
