import type { Operation } from "../../../src/consensus/database.ts";

// LevelDB's own log (doc/log_format.md), as `src/consensus/level/wal-check.ts` reads it: blocks of 32 KiB; records of a masked CRC-32C
// (4 bytes, little-endian, over type and data), length (2, little-endian), type (1), data. A batch (doc/impl.md): sequence (8), count (4), operations.
const BLOCK_BYTES = 32_768;
const HEAD_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;
const MASK_DELTA = 0xa282ead8;
const POLYNOMIAL = 0x82f63b78;
const BATCH_HEAD_BYTES = 12;

const TABLE = Uint32Array.from({ length: 256 }, (_, at) => {
  let value = at;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value;
});

/** Bytes that a batch has in the log, about. */
export function batchBytes(operations: readonly Operation[]): number {
  let bytes = BATCH_HEAD_BYTES + HEAD_BYTES;
  for (const operation of operations) bytes += operation.key.length + 3 + (operation.type === "put" ? operation.value.byteLength + 2 : 0);
  return bytes;
}

/** The log that holds these batches; the number of each is its sequence. @param blockBytes smaller than LevelDB's, where what an altered record takes with it is to be less */
export function encodeWal(batches: readonly (readonly Operation[])[], blockBytes = BLOCK_BYTES): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const [number, operations] of batches.entries()) {
    let rest = encodeBatch(number, operations);
    for (let begin = true; begin || rest.byteLength > 0; begin = false) {
      const room = blockBytes - (at % blockBytes);
      if (room < HEAD_BYTES) {
        parts.push(Buffer.alloc(room));
        at += room;
      }
      const fragment = rest.subarray(0, blockBytes - (at % blockBytes) - HEAD_BYTES);
      rest = rest.subarray(fragment.byteLength);
      const end = rest.byteLength === 0;
      parts.push(encodeRecord(begin ? (end ? FULL : FIRST) : end ? LAST : MIDDLE, fragment));
      at += HEAD_BYTES + fragment.byteLength;
    }
  }
  return Buffer.concat(parts);
}

/** The numbers of the batches that LevelDB finds in such a log at open. It passes over what is altered, with the rest of that block, and says nothing. */
export function readWal(log: Buffer, blockBytes = BLOCK_BYTES): readonly number[] {
  const numbers: number[] = [];
  let fragments: Buffer[] | undefined;
  for (const record of physicalRecords(log, blockBytes)) {
    if (record === "bad") {
      fragments = undefined;
      continue;
    }
    const { type, data } = record;
    if (type === FULL) numbers.push(...numberOf([data]));
    if (type === FIRST) fragments = [data];
    else if (type === MIDDLE) fragments?.push(data);
    else if (type === LAST && fragments !== undefined) numbers.push(...numberOf([...fragments, data]));
    if (type === FULL || type === LAST) fragments = undefined;
  }
  return numbers;
}

function numberOf(fragments: readonly Buffer[]): readonly number[] {
  const batch = Buffer.concat(fragments);
  return batch.byteLength < BATCH_HEAD_BYTES ? [] : [Number(batch.readBigUInt64LE(0))];
}

function* physicalRecords(log: Buffer, blockBytes: number): Generator<{ readonly type: number; readonly data: Buffer } | "bad"> {
  for (let start = 0; start < log.byteLength; start += blockBytes) {
    const block = log.subarray(start, start + blockBytes);
    const isLast = block.byteLength < blockBytes;
    let at = 0;
    while (block.byteLength - at >= HEAD_BYTES) {
      const length = block.readUInt16LE(at + 4);
      const type = block[at + 6]!;
      const end = at + HEAD_BYTES + length;
      // A record that is longer than the file is a write that was cut short.
      if (end > block.byteLength && isLast) return;
      if (end > block.byteLength || type === 0 || block.readUInt32LE(at) !== maskedCrc(block, at + 6, end)) {
        yield "bad";
        break;
      }
      yield { type, data: block.subarray(at + HEAD_BYTES, end) };
      at = end;
    }
  }
}

function encodeRecord(type: number, data: Buffer): Buffer {
  const record = Buffer.allocUnsafe(HEAD_BYTES + data.byteLength);
  record.writeUInt16LE(data.byteLength, 4);
  record[6] = type;
  record.set(data, HEAD_BYTES);
  record.writeUInt32LE(maskedCrc(record, 6, record.byteLength), 0);
  return record;
}

function encodeBatch(number: number, operations: readonly Operation[]): Buffer {
  const head = Buffer.alloc(BATCH_HEAD_BYTES);
  head.writeBigUInt64LE(BigInt(number), 0);
  head.writeUInt32LE(operations.length, 8);
  const parts: Uint8Array[] = [head];
  for (const operation of operations) {
    const key = Buffer.from(operation.key);
    parts.push(Buffer.of(operation.type === "put" ? 1 : 0), varint(key.byteLength), key);
    if (operation.type === "put") parts.push(varint(operation.value.byteLength), operation.value);
  }
  return Buffer.concat(parts);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  bytes.push(value);
  return Buffer.from(bytes);
}

function maskedCrc(bytes: Buffer, start: number, end: number): number {
  let crc = 0xffffffff;
  for (let at = start; at < end; at += 1) crc = TABLE[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}
