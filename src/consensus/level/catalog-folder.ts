import { mkdir, open as openFile, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import type { CatalogDatabases } from "../database.ts";
import { ConsensusError, type Fatal } from "../errors.ts";
import type { Room } from "../patient-writer.ts";
import { folderDamage } from "./folder-check.ts";
import { type DatabaseOptions, type LevelDatabase, openDatabase, syncFolder } from "./level-database.ts";
import { isDamage } from "./open-level.ts";
import { TableWatch } from "./table-watch.ts";

const CURRENT = "current";
const CONDEMNED = "condemned";
const PREFIX = "db-";
const NAME = /^db-[1-9]\d*$/;
const NEXT_START = "This node ends; at its next start it checks all of it, and fetches it from another member";
const OPTIONS = { cacheBytes: 16 * 2 ** 20, writeBufferBytes: 4 * 2 ** 20, compression: true };

/**
 * The folder of the catalog's databases. Its file `current` names the one that counts; another is an install that did not end, and goes at open.
 * @param altered told where a read finds later what the disk has altered
 * @param clock where it is given, all that is there is looked at time and again
 * @throws ConsensusError catalogCorrupt, folderInUse or storage
 */
export async function openCatalogFolder(folder: string, room: Room, altered: Fatal, clock?: Clock): Promise<CatalogDatabases> {
  const tell = (reason: string): void => altered(damaged(folder, `a read found that the disk has altered it (${reason}). ${NEXT_START}`));
  const options: DatabaseOptions = { ...OPTIONS, room, altered: tell };
  await mkdir(folder, { recursive: true });
  const verdict = await readLine(folder, CONDEMNED);
  if (verdict !== undefined) throw damaged(folder, verdict);
  let name = await readLine(folder, CURRENT);
  if (name === undefined) {
    if ((await readdir(folder)).some((entry) => entry.startsWith(PREFIX))) throw damaged(folder, "no file names the current database");
    name = `${PREFIX}1`;
    await writeLine(folder, CURRENT, name);
  }
  let database = await openChecked(folder, name, options);
  let begun: LevelDatabase | undefined;
  let dropping: Promise<void> = Promise.resolve();
  // Only now: the lock of the current database says that no other process is at work here.
  for (const entry of await readdir(folder)) {
    if (entry.startsWith(PREFIX) && entry !== name) await rm(join(folder, entry), { recursive: true, force: true });
  }
  const watch = clock === undefined ? undefined : new TableWatch({ folder: () => database.location, clock, altered: tell });
  return {
    get current() {
      return database;
    },
    async begin() {
      const next = Number(name?.slice(PREFIX.length)) + 1;
      const path = join(folder, `${PREFIX}${next}`);
      await dropping;
      await rm(path, { recursive: true, force: true });
      begun = await openDatabase(path, options);
      return begun;
    },
    async commit(fresh, switched) {
      if (begun === undefined || fresh !== begun) throw new Error("only the database that was begun last can become the current one");
      const old = database;
      const oldName = name ?? "";
      const freshName = begun.location.slice(folder.length + 1);
      await syncFolder(folder);
      await writeLine(folder, CURRENT, freshName);
      database = begun;
      begun = undefined;
      name = freshName;
      switched();
      // Nobody waits for that: applying goes on meanwhile. What a crash leaves of it goes at the next open.
      dropping = drop(old, join(folder, oldName), dropping);
    },
    async discard(fresh) {
      if (begun === undefined || fresh !== begun) return;
      const path = begun.location;
      begun = undefined;
      await fresh.close();
      await rm(path, { recursive: true, force: true });
    },
    async close() {
      watch?.close();
      await dropping;
      await database.close();
    },
  };
}

/** What cannot be removed now is removed at the next open. */
async function drop(database: LevelDatabase, path: string, before: Promise<void>): Promise<void> {
  await before;
  await database.close().catch(() => undefined);
  await rm(path, { recursive: true, force: true }).catch(() => undefined);
}

async function openChecked(folder: string, name: string, options: DatabaseOptions): Promise<LevelDatabase> {
  const others = (await readdir(folder)).filter((entry) => entry.startsWith(PREFIX));
  // The first one is named before it is made.
  if (!NAME.test(name) || (!others.includes(name) && (others.length > 0 || name !== `${PREFIX}1`)))
    throw damaged(folder, `the file that names the current database says ${JSON.stringify(name)}`);
  const check = async (): Promise<void> => {
    const damage = await folderDamage(join(folder, name));
    if (damage !== undefined) throw damaged(folder, damage);
  };
  await check();
  try {
    return await openDatabase(join(folder, name), { ...options, check });
  } catch (error) {
    throw isDamage(error) ? damaged(folder, error.message) : error;
  }
}

function damaged(folder: string, reason: string): ConsensusError {
  return new ConsensusError("catalogCorrupt", `The catalog in ${folder} is damaged: ${reason}.`, { folder });
}

/** Marks the catalog as one that must not be opened again. The mark goes with the folder where that is set aside. */
export function condemn(folder: string, reason: string): Promise<void> {
  return writeLine(folder, CONDEMNED, reason);
}

async function readLine(folder: string, name: string): Promise<string | undefined> {
  try {
    return (await readFile(join(folder, name), "utf8")).trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Durable, and the old line or the new one, whole, at any time. */
async function writeLine(folder: string, name: string, line: string): Promise<void> {
  const temporary = join(folder, `${name}.new`);
  const handle = await openFile(temporary, "w", 0o600);
  try {
    await handle.writeFile(`${line}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, join(folder, name));
  await syncFolder(folder);
}
