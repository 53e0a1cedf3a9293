import { copyFile, link, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Level, type LevelOptions, openLevel } from "./open-level.ts";

/** What a shadow's folder is called beside its database's. */
export function shadowOf(folder: string): string {
  return `${folder}.shadow`;
}

/**
 * Opens a second database on what the files of `folder` hold, to be read while the first one is closed. Tables never change, so they are linked, not copied. Nothing may
 * write or compact meanwhile, as LevelDB does not after a failure that it keeps.
 */
export async function openShadow(folder: string, options: LevelOptions): Promise<Level> {
  const shadow = shadowOf(folder);
  try {
    await rm(shadow, { recursive: true, force: true });
    await mkdir(shadow);
    for (const name of await readdir(folder)) {
      if (/\.(?:ldb|sst)$/.test(name)) await link(join(folder, name), join(shadow, name));
      else if (/^(?:CURRENT|MANIFEST-\d+|\d+\.log)$/.test(name)) await copyFile(join(folder, name), join(shadow, name));
    }
    return await openLevel(shadow, options);
  } catch (error) {
    await rm(shadow, { recursive: true, force: true });
    throw error;
  }
}

export async function dropShadow(folder: string, shadow: Level): Promise<void> {
  await shadow.close();
  await rm(shadowOf(folder), { recursive: true, force: true });
}
