import { hash } from "node:crypto";

/** What an entry adds to the chain of G9. */
export interface Link {
  readonly before: Uint8Array;
  readonly index: number;
  readonly time: number;
  /** The entry as it stands in the log. */
  readonly data: Uint8Array;
  /** Of its commands, in their order. */
  readonly effects: readonly Effect[];
}

/** What came of one command. */
export interface Effect {
  /** Encoded. */
  readonly outcome: Uint8Array;
  /** What it changed, by key; a row that is undefined is gone. Head, session and kept outcomes follow from what is in the link already. */
  readonly changes: ReadonlyMap<string, Uint8Array | undefined>;
}

const HASH_BYTES = 32;
const NUMBERS_BYTES = 24;
const EFFECT_BYTES = 8;
const CHANGE_BYTES = 8;
/** A character of UTF-16 is at most so many bytes of UTF-8. */
const CHARACTER_BYTES = 3;
/** Most entries fit: their bytes are put together here, and none is allocated for them. */
const SCRATCH = Buffer.allocUnsafeSlow(256 * 1024);

/**
 * SHA-256 of the hash before, the index, catalog time, the entry, and of each command its outcome and each change, all with their lengths. So members whose hashes
 * are equal have applied the same entries with the same effects, and a row that was read wrong shows as soon as an entry has written something by it.
 */
export function hashLink(link: Link): Uint8Array {
  const bound = boundOf(link);
  const bytes = bound <= SCRATCH.byteLength ? SCRATCH : Buffer.allocUnsafe(bound);
  return hash("sha256", bytes.subarray(0, write(link, bytes)), "buffer");
}

function boundOf({ data, effects }: Link): number {
  let sizeBytes = HASH_BYTES + NUMBERS_BYTES + data.byteLength;
  for (const { outcome, changes } of effects) {
    sizeBytes += EFFECT_BYTES + outcome.byteLength;
    for (const [key, value] of changes) sizeBytes += CHANGE_BYTES + key.length * CHARACTER_BYTES + (value?.byteLength ?? 0);
  }
  return sizeBytes;
}

function write({ before, index, time, data, effects }: Link, bytes: Buffer): number {
  bytes.set(before, 0);
  bytes.writeDoubleBE(index, HASH_BYTES);
  bytes.writeDoubleBE(time, HASH_BYTES + 8);
  bytes.writeUInt32BE(data.byteLength, HASH_BYTES + 16);
  bytes.writeUInt32BE(effects.length, HASH_BYTES + 20);
  let at = HASH_BYTES + NUMBERS_BYTES;
  bytes.set(data, at);
  at += data.byteLength;
  for (const effect of effects) at = writeEffect(effect, bytes, at);
  return at;
}

function writeEffect({ outcome, changes }: Effect, bytes: Buffer, from: number): number {
  bytes.writeUInt32BE(outcome.byteLength, from);
  bytes.writeUInt32BE(changes.size, from + 4);
  let at = from + EFFECT_BYTES;
  bytes.set(outcome, at);
  at += outcome.byteLength;
  for (const [key, value] of changes) {
    const keyBytes = bytes.write(key, at + CHANGE_BYTES);
    bytes.writeUInt32BE(keyBytes, at);
    // One more than the length, so that a row that is deleted is not one that is empty.
    bytes.writeUInt32BE(value === undefined ? 0 : value.byteLength + 1, at + 4);
    at += CHANGE_BYTES + keyBytes;
    if (value === undefined) continue;
    bytes.set(value, at);
    at += value.byteLength;
  }
  return at;
}
