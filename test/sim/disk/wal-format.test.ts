import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDatabase } from "../../../src/consensus/level/level-database.ts";
import { seededRandom } from "../../../src/core/random.ts";
import { encodeWal, readWal } from "./wal-format.ts";

const OPTIONS = { cacheBytes: 2 ** 20, writeBufferBytes: 2 ** 22, compression: false };
const BATCHES = 40;
let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "wal-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Big enough that some lie across LevelDB's blocks of 32 KiB. */
const value = (at: number): Uint8Array => Buffer.alloc(400 + ((at * 997) % 3_000), at);
const put = (at: number) => ({ type: "put" as const, key: `k${String(at).padStart(3, "0")}`, value: value(at) });

/** A folder as a killed process leaves it, with its log. */
async function killed(): Promise<{ folder: string; log: string; bytes: Buffer }> {
  const live = join(root, "live");
  const database = await openDatabase(live, OPTIONS);
  for (let at = 1; at <= BATCHES; at += 1) await database.batch([put(at)], { sync: false });
  const folder = join(root, "killed");
  await cp(live, folder, { recursive: true });
  await database.close();
  const log = (await readdir(folder)).find((name) => name.endsWith(".log"))!;
  return { folder, log, bytes: await readFile(join(folder, log)) };
}

test("the encoder writes what LevelDB writes", async () => {
  const { bytes } = await killed();
  // LevelDB counts operations from one; the first of the model's batches has number zero.
  const model = encodeWal([[], ...Array.from({ length: BATCHES }, (_, at) => [put(at + 1)])]);
  const empty = encodeWal([[]]).byteLength;
  expect(readWal(bytes)).toEqual(readWal(model).slice(1));
  expect(model.byteLength - empty - bytes.byteLength).toBeLessThan(64);
});

test("LevelDB finds the batches that the model finds, wherever a byte is altered or the log is cut", async () => {
  const { folder, log, bytes } = await killed();
  const random = seededRandom(11);
  for (let round = 0; round < 12; round += 1) {
    const place = Math.floor(random.float() * bytes.byteLength);
    const altered = Buffer.from(round % 4 === 3 ? bytes.subarray(0, place) : bytes);
    if (round % 4 !== 3) altered[place]! ^= 0x5a;
    const copy = join(root, `round-${round}`);
    await cp(folder, copy, { recursive: true });
    await writeFile(join(copy, log), altered);
    const database = await openDatabase(copy, OPTIONS);
    const found: string[] = [];
    for await (const [key] of database.scan({ prefix: "" })) found.push(key);
    await database.close();
    expect(found, `place ${place}`).toEqual(readWal(altered).map((number) => put(number).key));
  }
});
