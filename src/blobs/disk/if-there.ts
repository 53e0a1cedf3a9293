import { systemCode } from "../../core/errors.ts";
import { storageFailure } from "./failures.ts";
import type { FileStat, FileSystem } from "./file-system.ts";

/** Undefined where there is no such file. */
export async function statIfThere(fs: FileSystem, path: string): Promise<FileStat | undefined> {
  try {
    return await fs.stat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw storageFailure(error, "looking for a blob");
  }
}

/** @returns whether there was such a file */
export async function unlinkIfThere(fs: FileSystem, path: string): Promise<boolean> {
  try {
    await fs.unlink(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}
