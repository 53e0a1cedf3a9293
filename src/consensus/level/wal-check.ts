import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { HEAD_BYTES, roomAt, wholeRecord } from "./log-format.ts";

// At a bad record of its own log LevelDB drops the rest of the block without a word.

/**
 * Whether a record that is altered stands before a whole one that holds `marker`, as those do that were synced. An altered record with
 * nothing after it is a torn write: nobody was told of it. To be called before LevelDB opens the folder, and rewrites it.
 * @returns the file and offset of the altered record
 */
export async function findLostRecord(folder: string, marker: Uint8Array): Promise<{ file: string; offset: number } | undefined> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => /^\d+\.log$/.test(each)).sort()) {
    const offset = lostRecord(await readFile(join(folder, name)), Buffer.from(marker));
    if (offset !== undefined) return { file: name, offset };
  }
  return undefined;
}

/** The same over the bytes of one such log. @returns the offset of the altered record */
export function lostRecord(log: Buffer, marker: Buffer): number | undefined {
  let bad: number | undefined;
  let at = 0;
  while (at + HEAD_BYTES <= log.byteLength) {
    const room = roomAt(at);
    if (room < HEAD_BYTES) {
      at += room;
      continue;
    }
    const end = wholeRecord(log, at);
    if (end === undefined) {
      bad ??= at;
      // Its length cannot be trusted: a record may begin at any byte that follows.
      at += 1;
      continue;
    }
    if (bad !== undefined && log.subarray(at, end).includes(marker)) return bad;
    at = end;
  }
  return undefined;
}
