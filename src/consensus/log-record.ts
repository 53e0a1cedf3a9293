import { crc32 } from "node:zlib";
import { decode, encode } from "../core/codec.ts";
import type { RaftId } from "../core/peer.ts";
import { STARTS_REMEMBERED, type Start } from "../metadata/records.ts";
import type { ConfState, Entry, EntryType, HardState } from "../raft/types.ts";

// Entries that were written together and follow each other are one value, under the first one's index: of each the length of its record (4 bytes), then the
// record. That is a CRC-32 of all that follows in it, begun with the index (4), type (1), term (8), whether there is data (1), data.
const LENGTH_BYTES = 4;
const HEAD_BYTES = 14;
const TYPE_AT = 4;
const TERM_AT = 5;
const FLAG_AT = 13;
/** What the keys of entries begin with; the index of the first follows. */
export const ENTRY_PREFIX = "e";
export const META_KEY = "m";
/** What the disk remembers of the starts: written with each open alone. */
export const STARTS_KEY = "s";
const TYPES: readonly EntryType[] = ["normal", "confChange", "confChangeV2"];

export function encodeEntries(entries: readonly Entry[]): Uint8Array {
  let sizeBytes = 0;
  for (const { data } of entries) sizeBytes += LENGTH_BYTES + HEAD_BYTES + (data?.byteLength ?? 0);
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let at = 0;
  for (const entry of entries) at = writeEntry(entry, bytes, at);
  return bytes;
}

function writeEntry({ index, term, type, data }: Entry, bytes: Buffer, at: number): number {
  const record = at + LENGTH_BYTES;
  const end = record + HEAD_BYTES + (data?.byteLength ?? 0);
  bytes.writeUInt32BE(end - record, at);
  bytes[record + TYPE_AT] = TYPES.indexOf(type);
  bytes.writeUInt16BE(0, record + TERM_AT);
  bytes.writeUIntBE(term, record + TERM_AT + 2, 6);
  bytes[record + FLAG_AT] = data === undefined ? 0 : 1;
  if (data !== undefined) bytes.set(data, record + HEAD_BYTES);
  bytes.writeUInt32BE(checksum(index, bytes.subarray(record, end)), record);
  return end;
}

/** The records in one value, as far as they are whole. */
export function* recordsIn(value: Uint8Array): Iterable<Uint8Array> {
  const bytes = bufferOf(value);
  for (let at = 0; at + LENGTH_BYTES <= bytes.byteLength; ) {
    const end = at + LENGTH_BYTES + bytes.readUInt32BE(at);
    if (end > bytes.byteLength) return;
    yield bytes.subarray(at + LENGTH_BYTES, end);
    at = end;
  }
}

/** How many those are. */
export function recordCount(value: Uint8Array): number {
  const bytes = bufferOf(value);
  let count = 0;
  for (let at = 0; at + LENGTH_BYTES <= bytes.byteLength; count += 1) {
    at += LENGTH_BYTES + bytes.readUInt32BE(at);
    if (at > bytes.byteLength) break;
  }
  return count;
}

/** The entries from `first` on, up to the one that is altered, where there is one. */
export function decodeEntries(first: number, value: Uint8Array): { readonly entries: readonly Entry[]; readonly altered: boolean } {
  const entries: Entry[] = [];
  let sizeBytes = 0;
  for (const record of recordsIn(value)) {
    const entry = decodeEntry(first + entries.length, record);
    if (entry === undefined) break;
    entries.push(entry);
    sizeBytes += LENGTH_BYTES + record.byteLength;
  }
  return { entries, altered: entries.length === 0 || sizeBytes !== value.byteLength };
}

/** Undefined where the record is altered. */
function decodeEntry(index: number, record: Uint8Array): Entry | undefined {
  const bytes = bufferOf(record);
  if (bytes.byteLength < HEAD_BYTES || bytes.readUInt32BE(0) !== checksum(index, bytes)) return undefined;
  const type = TYPES[bytes[TYPE_AT]!];
  if (type === undefined) return undefined;
  const data = bytes[FLAG_AT] === 0 ? undefined : record.subarray(HEAD_BYTES);
  return { index, term: Number(bytes.readBigUInt64BE(TERM_AT)), type, data };
}

/** The index is in it, so that a record in a wrong place does not pass. */
function checksum(index: number, record: Buffer): number {
  return crc32(record.subarray(TYPE_AT), index % 2 ** 32);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A log is one node's in one cluster: with another's it would break promises that it never made. */
export interface LogOwner {
  readonly clusterId: string;
  readonly raftId: RaftId;
}

/** What each batch of the log writes beside its entries: the newest one tells what must be there. */
export interface LogMeta {
  /** Whose log it is; left out where nobody has said so yet. */
  readonly owner?: LogOwner | undefined;
  /** How often the log was opened. */
  readonly incarnation: number;
  readonly hardState: HardState;
  /** What the log begins after: a snapshot, or what was cut. */
  readonly base: { readonly index: number; readonly term: number };
  readonly lastIndex: number;
  /** About the bytes of the entries that are held. */
  readonly sizeBytes: number;
  /** Number of the batch, in the chain of batches. */
  readonly sequence: number;
  readonly checkpoint: number;
  /** The configuration of the synthetic snapshot that a new cluster begins with. */
  readonly bootConfState: ConfState | undefined;
}

export function encodeMeta(meta: LogMeta): Uint8Array {
  return withChecksum(encode(meta));
}

/** Undefined where the record is altered. */
export function decodeMeta(record: Uint8Array): LogMeta | undefined {
  return decodeChecked(record) as LogMeta | undefined;
}

export function encodeStarts({ incarnation, nonce, earlier }: Start): Uint8Array {
  return withChecksum(encode([incarnation, nonce, ...earlier]));
}

/**
 * The start that follows what is on the disk. A log of an older program, or that one has opened since, remembers nothing.
 * @param record of the start before
 * @returns undefined where the record is altered
 */
export function nextStart(before: number, record: Uint8Array | undefined, nonce: string): Start | undefined {
  const incarnation = before + 1;
  if (record === undefined) return { incarnation, nonce, earlier: [] };
  const fields = decodeChecked(record) as [number, ...string[]] | undefined;
  if (fields === undefined) return undefined;
  const [newest, ...nonces] = fields;
  return { incarnation, nonce, earlier: newest === before ? nonces.slice(0, STARTS_REMEMBERED) : [] };
}

function withChecksum(body: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(4 + body.byteLength);
  bytes.set(body, 4);
  bytes.writeUInt32BE(crc32(body), 0);
  return bytes;
}

function decodeChecked(record: Uint8Array): unknown {
  const bytes = bufferOf(record);
  if (bytes.byteLength < 4) return undefined;
  const body = bytes.subarray(4);
  return bytes.readUInt32BE(0) === crc32(body) ? decode(body) : undefined;
}
