import { maskedCrc } from "./crc32c.ts";

// LevelDB's log format (doc/log_format.md), of its write-ahead log and of its manifest: blocks of 32 KiB; records of a masked CRC-32C (4 bytes,
// little-endian, over type and data), length (2, little-endian), type (1), data. A long one is cut into a first, middle and last record.
const BLOCK_BYTES = 32_768;
const TYPE_MAX = 4;
export const HEAD_BYTES = 7;

/** Where the block that `at` lies in ends. */
export function roomAt(at: number): number {
  return BLOCK_BYTES - (at % BLOCK_BYTES);
}

/** @returns where the record at `at` ends, if there is one */
export function wholeRecord(log: Buffer, at: number): number | undefined {
  const type = log[at + 6]!;
  const length = log.readUInt16LE(at + 4);
  const end = at + HEAD_BYTES + length;
  if (type === 0 || type > TYPE_MAX || HEAD_BYTES + length > roomAt(at) || end > log.byteLength) return undefined;
  return log.readUInt32LE(at) === maskedCrc(log, at + 6, end) ? end : undefined;
}

const FULL = 1;
const FIRST = 2;
const LAST = 4;

/** The records of a log up to the first that is not whole, with their parts joined. */
export function* recordsOf(log: Buffer): Iterable<Buffer> {
  let parts: Buffer[] = [];
  for (let at = 0; at + HEAD_BYTES <= log.byteLength; ) {
    const room = roomAt(at);
    if (room < HEAD_BYTES) {
      at += room;
      continue;
    }
    const end = wholeRecord(log, at);
    if (end === undefined) return;
    const type = log[at + 6]!;
    if (type === FULL || type === FIRST) parts = [];
    parts.push(log.subarray(at + HEAD_BYTES, end));
    if (type === FULL || type === LAST) yield Buffer.concat(parts);
    at = end;
  }
}
