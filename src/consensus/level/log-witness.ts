import { writeSync } from "node:fs";
import { constants, type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { LogWitness } from "../database.ts";

// The file: the number (8 bytes, big-endian) and its CRC-32 (4).
const NUMBER_BYTES = 8;
const RECORD_BYTES = NUMBER_BYTES + 4;

/** A few bytes in a file of their own, written over and never synced: what a killed process has written stays, and a power cut only sets them back. */
export async function openLogWitness(path: string): Promise<LogWitness> {
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  return {
    read: () => read(file),
    write: (sequence) => write(file, sequence),
    close: () => file.close(),
  };
}

async function read(file: FileHandle): Promise<number> {
  const record = Buffer.alloc(RECORD_BYTES);
  const { bytesRead } = await file.read(record, 0, RECORD_BYTES, 0);
  if (bytesRead < RECORD_BYTES || record.readUInt32BE(NUMBER_BYTES) !== crc32(record.subarray(0, NUMBER_BYTES))) return 0;
  return Number(record.readBigUInt64BE(0));
}

/** Some microseconds into the page cache: a turn of the thread pool for each batch cost ten times as much. */
function write(file: FileHandle, sequence: number): void {
  const record = Buffer.alloc(RECORD_BYTES);
  record.writeBigUInt64BE(BigInt(sequence), 0);
  record.writeUInt32BE(crc32(record.subarray(0, NUMBER_BYTES)), NUMBER_BYTES);
  try {
    writeSync(file.fd, record, 0, RECORD_BYTES, 0);
  } catch {
    // It may lag: the log itself is whole without it.
  }
}
