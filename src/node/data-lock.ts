import { join } from "node:path";
import { ConsensusError } from "../consensus/errors.ts";
import { openDatabase } from "../consensus/level/level-database.ts";
import { openOnReserve } from "../consensus/level/level-storage.ts";
import { NodeError } from "./node-error.ts";

export interface DataLock {
  release(): Promise<void>;
}

/** In the data folder; the lock's database. */
export const LOCK_FOLDER = "lock";

const SMALL = { cacheBytes: 0, writeBufferBytes: 64 * 1024, compression: false };

/**
 * Takes the data folder before anything in it is read or written. Node has no file locks, so it is the one of an empty LevelDB: the
 * kernel gives it up with the process, however that ends.
 * @throws NodeError where another process has it
 */
export async function lockDataFolder(data: string): Promise<DataLock> {
  try {
    const database = await openOnReserve(data, () => openDatabase(join(data, LOCK_FOLDER), SMALL));
    return { release: () => database.close() };
  } catch (error) {
    if (!(error instanceof ConsensusError) || error.code !== "folderInUse") throw error;
    throw new NodeError(`data folder in use by another process: ${data}. Stop that one, or give this one a folder of its own with --data`);
  }
}
