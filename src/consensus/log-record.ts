import { crc32 } from "node:zlib";
import { decode, encode } from "../core/codec.ts";
import type { RaftId } from "../core/peer.ts";
import type { ConfState, Entry, EntryType, HardState } from "../raft/types.ts";

// Record of an entry: CRC-32 of index and all that follows (4 bytes), type (1), term (8), whether there is data (1), data.
const HEAD_BYTES = 14;
/** What the keys of entries begin with; their index follows. */
export const ENTRY_PREFIX = "e";
export const META_KEY = "m";
const TYPES: readonly EntryType[] = ["normal", "confChange", "confChangeV2"];

/** The index is in the checksum, so that a record under a wrong key does not pass. */
export function encodeEntry(entry: Entry): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + (entry.data?.byteLength ?? 0));
  bytes[4] = TYPES.indexOf(entry.type);
  bytes.writeBigUInt64BE(BigInt(entry.term), 5);
  bytes[13] = entry.data === undefined ? 0 : 1;
  if (entry.data !== undefined) bytes.set(entry.data, HEAD_BYTES);
  bytes.writeUInt32BE(checksum(entry.index, bytes), 0);
  return bytes;
}

/** Undefined where the record is altered. */
export function decodeEntry(index: number, record: Uint8Array): Entry | undefined {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (bytes.byteLength < HEAD_BYTES || bytes.readUInt32BE(0) !== checksum(index, bytes)) return undefined;
  const type = TYPES[bytes[4]!];
  if (type === undefined) return undefined;
  return { index, term: Number(bytes.readBigUInt64BE(5)), type, data: bytes[13] === 0 ? undefined : record.subarray(HEAD_BYTES) };
}

function checksum(index: number, bytes: Buffer): number {
  const head = Buffer.allocUnsafe(8);
  head.writeBigUInt64BE(BigInt(index));
  return crc32(bytes.subarray(4), crc32(head));
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
  const body = encode(meta);
  const bytes = Buffer.allocUnsafe(4 + body.byteLength);
  bytes.set(body, 4);
  bytes.writeUInt32BE(crc32(body), 0);
  return bytes;
}

/** Undefined where the record is altered. */
export function decodeMeta(record: Uint8Array): LogMeta | undefined {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  if (bytes.byteLength < 4) return undefined;
  const body = bytes.subarray(4);
  return bytes.readUInt32BE(0) === crc32(body) ? (decode(body) as LogMeta) : undefined;
}
