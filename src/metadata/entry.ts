import { decode, encode } from "../core/codec.ts";
import { isCommandType, isWellFormed } from "./command-shape.ts";
import { COMMAND_VERSION, type Command } from "./commands.ts";
import { HaltError } from "./halt-error.ts";

/** Above the largest manifest (4 MiB) and what stands around it. */
export const ENTRY_BYTES_MAX = 8 * 1024 * 1024;
/** However long a leader was idle, one entry moves catalog time by no more. */
export const STAMP_MS_MAX = 10_000;
/** However many commands wait, one entry carries no more. */
export const COMMANDS_IN_ENTRY_MAX = 1_024;
/** How an entry is laid out: its first byte. Then the stamp (4 bytes), then of each envelope its length (4) and itself. */
const FORMAT = 1;
const STAMP_AT = 1;
const HEAD_BYTES = 5;
const LENGTH_BYTES = 4;
/** What an entry takes beside the bytes of a single envelope. */
export const ENTRY_OVERHEAD_BYTES = HEAD_BYTES + LENGTH_BYTES;
/** Sequences have 6 bytes in the rows of a session. */
const SEQUENCE_END = 2 ** 48;
const PRINCIPAL_LENGTH_MAX = 512;

/**
 * What a proposer encodes: whether it has to be alone in its entry (0 or 1), then its fields in this order. The leader puts those of one turn together, behind a
 * stamp.
 */
export interface Envelope {
  /** Schema of the command. */
  readonly v: number;
  /** 0 without one, which only `cluster.init`, `session.open` and `clock.tick` may. */
  readonly session: number;
  readonly sequence: number;
  /** The lowest sequence of the session that is still unanswered: at most `sequence`. */
  readonly lowest: number;
  readonly principal?: string | undefined;
  readonly command: Command;
}

export interface Entry {
  readonly stampMs: number;
  /** At least one; undefined in the place of what is no well-formed envelope, or may not stand there. */
  readonly envelopes: readonly (Envelope | undefined)[];
}

/** They take the index of their entry for a name (of a member, of a session), or begin everything: none has another beside it. */
const ALONE: ReadonlySet<Command["type"]> = new Set(["cluster.init", "cluster.recover", "session.open", "member.add", "member.replace"]);
/** In the encoded list the mark is the byte after the list's head. */
const MARK_AT = 1;

/** @throws RangeError where it would not fit an entry */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const { v, session, sequence, lowest, principal, command } = envelope;
  const bytes = encode([ALONE.has(command.type) ? 1 : 0, v, session, sequence, lowest, principal ?? null, command]);
  if (bytes.byteLength + ENTRY_OVERHEAD_BYTES > ENTRY_BYTES_MAX) {
    throw new RangeError(`a command of ${bytes.byteLength} bytes does not fit an entry of at most ${ENTRY_BYTES_MAX}`);
  }
  return bytes;
}

/** Whether an encoded envelope needs an entry of its own. */
export function isAlone(envelope: Uint8Array): boolean {
  return envelope[MARK_AT] !== 0;
}

/**
 * An entry, of commands that apply one after the other.
 * @param stampMs the leader's monotonic ms since its last stamp, 0 for the first of its term; clamped to 0..10,000
 */
export function stampEntry(stampMs: number, ...envelopes: readonly Uint8Array[]): Uint8Array {
  let sizeBytes = HEAD_BYTES;
  for (const envelope of envelopes) sizeBytes += LENGTH_BYTES + envelope.byteLength;
  const data = Buffer.allocUnsafe(sizeBytes);
  data[0] = FORMAT;
  data.writeUInt32BE(clampStamp(stampMs), STAMP_AT);
  let at = HEAD_BYTES;
  for (const envelope of envelopes) {
    data.writeUInt32BE(envelope.byteLength, at);
    data.set(envelope, at + LENGTH_BYTES);
    at += LENGTH_BYTES + envelope.byteLength;
  }
  return data;
}

function clampStamp(stampMs: number): number {
  return Number.isFinite(stampMs) ? Math.min(STAMP_MS_MAX, Math.max(0, Math.trunc(stampMs))) : 0;
}

/** @throws HaltError where the command, its schema or the layout of the entry is not this program's */
export function decodeEntry(data: Uint8Array): Entry {
  if (data.byteLength < HEAD_BYTES || data.byteLength > ENTRY_BYTES_MAX) return { stampMs: 0, envelopes: [undefined] };
  if (data[0] !== FORMAT) throw unknownFormat(data[0] ?? 0);
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const stampMs = clampStamp(bytes.readUInt32BE(STAMP_AT));
  const envelopes: (Envelope | undefined)[] = [];
  for (let at = HEAD_BYTES; at < bytes.byteLength; ) {
    const end = at + LENGTH_BYTES + (at + LENGTH_BYTES <= bytes.byteLength ? bytes.readUInt32BE(at) : 0);
    // Where one is torn, or there are too many, the rest of the entry is none at all.
    const isWhole = end <= bytes.byteLength && envelopes.length < COMMANDS_IN_ENTRY_MAX;
    envelopes.push(isWhole ? decodeEnvelope(bytes.subarray(at + LENGTH_BYTES, end)) : undefined);
    if (!isWhole) break;
    at = end;
  }
  if (envelopes.length === 0) envelopes.push(undefined);
  for (let place = 0; envelopes.length > 1 && place < envelopes.length; place += 1) {
    const type = envelopes[place]?.command.type;
    if (type !== undefined && ALONE.has(type)) envelopes[place] = undefined;
  }
  return { stampMs, envelopes };
}

function unknownFormat(format: number): HaltError {
  const remedy =
    format < FORMAT
      ? "an older one, which was never released, has written it; remove the data folder of this node and let it join anew"
      : "install a newer version of roadstead on this node";
  return new HaltError(`the log holds an entry of format ${format}, this program reads format ${FORMAT}: ${remedy}`);
}

function decodeEnvelope(bytes: Uint8Array): Envelope | undefined {
  const value = decodeOrUndefined(bytes);
  if (!Array.isArray(value)) return undefined;
  const [, v, session, sequence, lowest, principal, command] = value as unknown[];
  if (!isCount(v) || v < 1 || typeof command !== "object" || command === null || !("type" in command)) return undefined;
  const type = command.type;
  if (typeof type !== "string") return undefined;
  if (v > COMMAND_VERSION || !isCommandType(type)) {
    throw new HaltError(
      `the log holds the command ${JSON.stringify(type.slice(0, 64))} of schema ${v}, this program knows schemas up to ${COMMAND_VERSION}: install a newer version of roadstead on this node`,
    );
  }
  if (!isCount(session) || !isCount(sequence) || !isCount(lowest) || lowest > sequence || sequence >= SEQUENCE_END) return undefined;
  if (principal !== null && (typeof principal !== "string" || principal.length > PRINCIPAL_LENGTH_MAX)) return undefined;
  if (!isWellFormed(type, command)) return undefined;
  return { v, session, sequence, lowest, principal: principal ?? undefined, command: command as Command };
}

function decodeOrUndefined(bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
