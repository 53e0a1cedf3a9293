import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

// LevelDB's own log (doc/log_format.md): blocks of 32 KiB; records of a masked CRC-32C (4 bytes, little-endian, over type and data),
// length (2, little-endian), type (1), data. At a bad record it drops the rest of the block without a word.
const BLOCK_BYTES = 32_768;
const HEAD_BYTES = 7;
const TYPE_MAX = 4;
const MASK_DELTA = 0xa282ead8;
const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, at) => {
  let value = at;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value;
});

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
    const room = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (room < HEAD_BYTES) {
      at += room;
      continue;
    }
    const end = wholeRecord(log, at, room);
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

/** @returns where the record at `at` ends, if there is one */
function wholeRecord(log: Buffer, at: number, room: number): number | undefined {
  const type = log[at + 6]!;
  const length = log.readUInt16LE(at + 4);
  const end = at + HEAD_BYTES + length;
  if (type === 0 || type > TYPE_MAX || HEAD_BYTES + length > room || end > log.byteLength) return undefined;
  return log.readUInt32LE(at) === maskedCrc(log, at + 6, end) ? end : undefined;
}

function maskedCrc(bytes: Buffer, start: number, end: number): number {
  let crc = 0xffffffff;
  for (let at = start; at < end; at += 1) crc = TABLE[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}
