import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Storage } from "../database.ts";
import { type Fatal, logCorrupt } from "../errors.ts";
import { isNoSpace } from "../patient-writer.ts";
import { condemn, openCatalogFolder } from "./catalog-folder.ts";
import { DiskRoom, type Patience } from "./disk-room.ts";
import { folderDamage } from "./folder-check.ts";
import { openDatabase, syncFolder } from "./level-database.ts";
import { openLogWitness } from "./log-witness.ts";
import { isDamage } from "./open-level.ts";
import { shadowOf } from "./shadow.ts";
import { SpaceReserve } from "./space-reserve.ts";
import { findLostRecord } from "./wal-check.ts";

const LOG_OPTIONS = { cacheBytes: 2 * 2 ** 20, writeBufferBytes: 4 * 2 ** 20, compression: false };

export interface LevelStorageOptions {
  /** Keeps room for both on a disk that others write to as well. */
  readonly reserve?: boolean;
  /** Writes wait for room on a full disk; without it they fail. */
  readonly patience?: Patience;
}

/** Log and catalog on two LevelDBs, `raft/` and `catalog/` in `folder`. */
export function levelStorage(folder: string, { reserve: reserved = false, patience }: LevelStorageOptions = {}): Storage {
  const raft = join(folder, "raft");
  const reserve = reserveOf(folder);
  const room = new DiskRoom(reserve, patience);
  const makeRoom = (): Promise<boolean> => room.make();
  let onDamage: Fatal = () => undefined;
  const altered = (reason: string): void => onDamage(logCorrupt(folder, `a read found that the disk has altered it (${reason})`));
  return {
    place: folder,
    async openLog(marker) {
      const check = async (): Promise<void> => {
        const lost = await findLostRecord(raft, marker);
        if (lost !== undefined)
          throw logCorrupt(folder, `the record at byte ${lost.offset} of ${lost.file} is altered, and others follow it`);
        const damage = await folderDamage(raft);
        if (damage !== undefined) throw logCorrupt(folder, damage);
      };
      await rm(shadowOf(raft), { recursive: true, force: true });
      await check();
      try {
        const database = await withRoom(makeRoom, () => openDatabase(raft, { ...LOG_OPTIONS, room, check, altered }));
        if (reserved) await reserve.take();
        return database;
      } catch (error) {
        throw isDamage(error) ? logCorrupt(folder, error.message) : error;
      }
    },
    openWitness: () => openLogWitness(join(folder, "raft.witness")),
    openCatalog: () =>
      withRoom(makeRoom, () => openCatalogFolder(join(folder, "catalog"), room, (error) => onDamage(error), patience?.clock)),
    onDamage(listener) {
      onDamage = listener;
    },
    ...(reserved ? { space: () => reserve.space() } : {}),
    condemnCatalog: (reason) => condemn(join(folder, "catalog"), reason),
    setCatalogAside: () => setAside(folder, "catalog"),
  };
}

/** Opens what needs a little room of the data folder, on what is kept in reserve for log and catalog where the disk has none. */
export function openOnReserve<T>(folder: string, open: () => Promise<T>): Promise<T> {
  const reserve = reserveOf(folder);
  return withRoom(() => reserve.release(), open);
}

function reserveOf(folder: string): SpaceReserve {
  return new SpaceReserve(folder, join(folder, "space.reserve"));
}

/** To open a database takes room too: what is in its log is moved into a table. */
async function withRoom<T>(makeRoom: () => Promise<boolean>, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (!isNoSpace(error) || !(await makeRoom())) throw error;
    return open();
  }
}

/** Renames `name` to the first `name.damaged-<n>` that is free. */
async function setAside(folder: string, name: string): Promise<string> {
  const taken = new Set(await readdir(folder));
  let number = 1;
  while (taken.has(`${name}.damaged-${number}`)) number += 1;
  const aside = join(folder, `${name}.damaged-${number}`);
  await rename(join(folder, name), aside);
  await syncFolder(folder);
  return aside;
}
