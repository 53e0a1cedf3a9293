import { join } from "node:path";
import type { Storage } from "../database.ts";
import { logCorrupt } from "../errors.ts";
import { openCatalogFolder } from "./catalog-folder.ts";
import { folderDamage } from "./folder-check.ts";
import { isDamage, openDatabase } from "./level-database.ts";
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
  };
}
