import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Storage } from "../database.ts";
import { logCorrupt } from "../errors.ts";
import { openCatalogFolder } from "./catalog-folder.ts";
import { folderDamage } from "./folder-check.ts";
import { isDamage, openDatabase, syncFolder } from "./level-database.ts";
import { openLogWitness } from "./log-witness.ts";
import { findLostRecord } from "./wal-check.ts";

const LOG_OPTIONS = { cacheBytes: 2 * 2 ** 20, writeBufferBytes: 4 * 2 ** 20, compression: false };

/** Log and catalog on two LevelDBs, `raft/` and `catalog/` in `folder`. */
export function levelStorage(folder: string): Storage {
  const raft = join(folder, "raft");
  return {
    place: folder,
    async openLog(marker) {
      const lost = await findLostRecord(raft, marker);
      if (lost !== undefined)
        throw logCorrupt(folder, `the record at byte ${lost.offset} of ${lost.file} is altered, and others follow it`);
      const damage = await folderDamage(raft);
      if (damage !== undefined) throw logCorrupt(folder, damage);
      try {
        return await openDatabase(raft, LOG_OPTIONS);
      } catch (error) {
        throw isDamage(error) ? logCorrupt(folder, error.message) : error;
      }
    },
    openWitness: () => openLogWitness(join(folder, "raft.witness")),
    openCatalog: () => openCatalogFolder(join(folder, "catalog")),
    setCatalogAside: () => setAside(folder, "catalog"),
  };
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
