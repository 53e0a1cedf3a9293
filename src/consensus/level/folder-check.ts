import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readManifest } from "./manifest.ts";
import { tableDamage } from "./table-check.ts";

const DATA_FILE = /^(?:MANIFEST-\d+|\d+\.(?:ldb|sst|log))$/;

/**
 * What LevelDB would not notice at open, or would make good by losing it: a folder without the file `CURRENT` it takes for a new one, a manifest that is
 * cut short for an older state, and blocks of tables it does not check at all. To be called before it opens the folder.
 * @returns what is damaged; undefined where all is whole, or nothing is there yet
 */
export async function folderDamage(folder: string): Promise<string | undefined> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  if (!names.includes("CURRENT")) {
    const left = names.find((name) => DATA_FILE.test(name));
    return left === undefined ? undefined : `there is a file ${left}, but no file CURRENT`;
  }
  const current = (await readFile(join(folder, "CURRENT"), "latin1")).trim();
  if (!names.includes(current)) return `CURRENT names ${JSON.stringify(current)}, and there is no such file`;
  const version = readManifest(await readFile(join(folder, current)));
  if (version === undefined) return `${current} is altered`;
  if (!names.includes(fileOf(version.logNumber, "log")))
    return `${current} is cut short or a log is gone: there is no ${fileOf(version.logNumber, "log")}`;
  for (const number of version.tables) {
    const name = [fileOf(number, "ldb"), fileOf(number, "sst")].find((each) => names.includes(each));
    if (name === undefined) return `the table ${fileOf(number, "ldb")} is missing`;
    const damage = tableDamage(await readFile(join(folder, name)));
    if (damage !== undefined) return `the table ${name} is damaged: ${damage}`;
  }
  return undefined;
}

/** The tables of a database that is open, by their names in order. @throws where its list cannot be read at the moment */
export async function liveTables(folder: string): Promise<readonly string[]> {
  const current = (await readFile(join(folder, "CURRENT"), "latin1")).trim();
  const version = readManifest(await readFile(join(folder, current)));
  return [...(version?.tables ?? [])].map((number) => fileOf(number, "ldb")).sort();
}

function fileOf(number: number, ending: string): string {
  return `${String(number).padStart(6, "0")}.${ending}`;
}
