import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { seededRandom } from "../../core/random.ts";
import { ConsensusError } from "../errors.ts";
import { LogModel, SOLE_VOTER } from "../log-model.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { levelStorage } from "./level-storage.ts";

const TRIALS = process.env.ROADSTEAD_SLOW === "1" ? 100 : 8;
/** Each open moves what is there into a table. */
const LOG_BYTES = 3 * 2 ** 19;
let root = "";
let digest = "";
let files: string[] = [];

const fatal = (error: Error): void => {
  throw error;
};
const open = (folder: string) => DurableRaftLog.open({ storage: levelStorage(folder), fatal, bootstrap: SOLE_VOTER, chainBytes: 2 ** 20 });

/** A log that was opened more than once, closed in order, all of it acknowledged. */
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "damage-"));
  const whole = join(root, "whole");
  const random = seededRandom(11);
  let log = await open(whole);
  const model = LogModel.of(log);
  const appended: Promise<void>[] = [];
  for (let written = 0, next = LOG_BYTES / 3; written < LOG_BYTES; ) {
    const work = model.randomWork(random);
    model.apply(work);
    appended.push(log.append(work));
    for (const { data } of work.entries) written += data?.byteLength ?? 0;
    if (written < next) continue;
    await Promise.all(appended);
    next += LOG_BYTES / 3;
    await log.close();
    log = await open(whole);
  }
  const last = { hardState: { ...model.hardState, term: model.hardState.term + 1 }, snapshot: undefined, entries: [] };
  model.apply(last);
  await log.append(last);
  await log.close();
  digest = model.digest();
  files = ["raft.witness", ...(await readdir(join(whole, "raft"))).map((name) => join("raft", name))];
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** How a log that was damaged opens: refused for a reason, or as it was; never otherwise. */
async function tryOpen(damage: (folder: string) => Promise<void>): Promise<"refused" | "whole"> {
  const folder = join(root, "damaged");
  await cp(join(root, "whole"), folder, { recursive: true });
  try {
    await damage(folder);
    const log = await open(folder);
    const found = LogModel.of(log).digest();
    await log.close();
    if (found !== digest) throw new Error("the log opened with other content than was acknowledged");
    return "whole";
  } catch (error) {
    if (!(error instanceof ConsensusError)) throw error;
    expect(error.code).toBe("logCorrupt");
    return "refused";
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

test("the log that is to be damaged has tables, a log of LevelDB's own, and opens", async () => {
  for (const ending of [/\.ldb$/, /\.log$/, /MANIFEST-/, /CURRENT$/, /\.witness$/])
    expect(files.some((name) => ending.test(name))).toBe(true);
  expect(await tryOpen(async () => undefined)).toBe("whole");
});

test("G1: a file of the log that is cut short at any byte is refused, or nothing that was acknowledged is missing", async () => {
  const random = seededRandom(21);
  const outcomes = new Set<string>();
  for (const name of files) {
    for (let trial = 0; trial < TRIALS; trial += 1) {
      const outcome = await tryOpen(async (folder) => {
        const path = join(folder, name);
        const { size } = await stat(path);
        await truncate(path, trial === 0 ? Math.max(0, size - 1) : Math.floor(random.float() * size));
      }).catch((error: unknown) => {
        throw new Error(`${name}, trial ${trial}`, { cause: error });
      });
      outcomes.add(`${name}: ${outcome}`);
    }
  }
  expect([...outcomes].filter((outcome) => /\.ldb: whole|CURRENT: whole/.test(outcome))).toEqual([]);
}, 600_000);

test("G1: a file of the log with a byte that is altered is refused, or nothing that was acknowledged is missing or other", async () => {
  const random = seededRandom(22);
  for (const name of files) {
    for (let trial = 0; trial < TRIALS; trial += 1) {
      await tryOpen(async (folder) => {
        const path = join(folder, name);
        const bytes = await readFile(path);
        if (bytes.byteLength === 0) return;
        bytes[Math.floor(random.float() * bytes.byteLength)]! ^= 1 << Math.floor(random.float() * 8);
        await writeFile(path, bytes);
      }).catch((error: unknown) => {
        throw new Error(`${name}, trial ${trial}`, { cause: error });
      });
    }
  }
}, 600_000);

test("G1: a log of which a file is gone is refused, or nothing that was acknowledged is missing", async () => {
  for (const name of files) {
    const outcome = await tryOpen((folder) => rm(join(folder, name)));
    if (/\.ldb$|MANIFEST-|CURRENT$/.test(name)) expect(`${name}: ${outcome}`).toBe(`${name}: refused`);
  }
  expect(await tryOpen((folder) => rm(join(folder, "raft"), { recursive: true }))).toBe("refused");
});
