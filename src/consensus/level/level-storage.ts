import { join } from "node:path";
import type { Storage } from "../database.ts";
import { logCorrupt } from "../errors.ts";
import { openCatalogFolder } from "./catalog-folder.ts";
import { openDatabase } from "./level-database.ts";
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
      return openDatabase(raft, LOG_OPTIONS);
    },
    openCatalog: () => openCatalogFolder(join(folder, "catalog")),
  };
}
