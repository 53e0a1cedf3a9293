import { decode, encode } from "../core/codec.ts";
import { isCommandType, isWellFormed } from "./command-shape.ts";
import { COMMAND_VERSION, type Command } from "./commands.ts";
import { HaltError } from "./halt-error.ts";

/** Above the largest manifest (4 MiB) and what stands around it. */
export const ENTRY_BYTES_MAX = 8 * 1024 * 1024;
/** However long a leader was idle, one entry moves catalog time by no more. */
export const STAMP_MS_MAX = 10_000;
const STAMP_BYTES = 4;
/** Sequences have 6 bytes in the rows of a session. */
const SEQUENCE_END = 2 ** 48;
const PRINCIPAL_LENGTH_MAX = 512;

/** What a proposer encodes, as a list of its fields in this order; the leader puts its stamp in front. */
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
  /** Undefined where the bytes hold no well-formed envelope. */
  readonly envelope: Envelope | undefined;
}

/** @throws RangeError where it would not fit an entry */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const { v, session, sequence, lowest, principal, command } = envelope;
  const bytes = encode([v, session, sequence, lowest, principal ?? null, command]);
  if (bytes.byteLength + STAMP_BYTES > ENTRY_BYTES_MAX) {
    throw new RangeError(`a command of ${bytes.byteLength} bytes does not fit an entry of at most ${ENTRY_BYTES_MAX}`);
  }
  return bytes;
}

/** @param stampMs the leader's monotonic ms since its last stamp, 0 for the first of its term; clamped to 0..10,000 */
export function stampEntry(stampMs: number, envelope: Uint8Array): Uint8Array {
  const data = Buffer.allocUnsafe(STAMP_BYTES + envelope.byteLength);
  data.writeUInt32BE(clampStamp(stampMs), 0);
  data.set(envelope, STAMP_BYTES);
  return data;
}

function clampStamp(stampMs: number): number {
  return Number.isFinite(stampMs) ? Math.min(STAMP_MS_MAX, Math.max(0, Math.trunc(stampMs))) : 0;
}

/** @throws HaltError where the command or its schema is newer than this program */
export function decodeEntry(data: Uint8Array): Entry {
  if (data.byteLength < STAMP_BYTES || data.byteLength > ENTRY_BYTES_MAX) return { stampMs: 0, envelope: undefined };
  const stampMs = clampStamp(new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0));
  return { stampMs, envelope: decodeEnvelope(data.subarray(STAMP_BYTES)) };
}

function decodeEnvelope(bytes: Uint8Array): Envelope | undefined {
  const value = decodeOrUndefined(bytes);
  if (!Array.isArray(value)) return undefined;
  const [v, session, sequence, lowest, principal, command] = value as unknown[];
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
