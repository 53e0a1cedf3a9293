import type { Outcome } from "./commands.ts";
import { OUTCOME } from "./rows.ts";

// Outcomes of one session, so many sequences in a row, so that a batch of commands writes few of them. A row: the number of the run (6 bytes, big-endian), then
// for each outcome, in the order in which they applied, its place in the run (1), its length (2), and the outcome.

/** Sequences of one row. */
export const OUTCOMES_IN_ROW = 16;
const RUN_BYTES = 6;
const HEAD_BYTES = 3;

/** The outcome under `sequence`; undefined where the row does not hold it, as one of a window before does not. */
export function outcomeIn(row: Uint8Array, sequence: number): Outcome | undefined {
  const bytes = Buffer.from(row.buffer, row.byteOffset, row.byteLength);
  if (bytes.readUIntBE(0, RUN_BYTES) !== runOf(sequence)) return undefined;
  for (let at = RUN_BYTES; at < bytes.byteLength; ) {
    const end = at + HEAD_BYTES + bytes.readUInt16BE(at + 1);
    if (bytes[at] === sequence % OUTCOMES_IN_ROW) return OUTCOME.decode(bytes.subarray(at + HEAD_BYTES, end));
    at = end;
  }
  return undefined;
}

/** The row with one outcome more; a row of a run before this one makes room. */
export function withOutcome(row: Uint8Array | undefined, sequence: number, outcome: Outcome): Uint8Array {
  const run = runOf(sequence);
  const held = row !== undefined && Buffer.from(row.buffer, row.byteOffset, RUN_BYTES).readUIntBE(0, RUN_BYTES) === run ? row : undefined;
  const encoded = OUTCOME.encode(outcome);
  const at = held?.byteLength ?? RUN_BYTES;
  const bytes = Buffer.allocUnsafe(at + HEAD_BYTES + encoded.byteLength);
  if (held === undefined) bytes.writeUIntBE(run, 0, RUN_BYTES);
  else bytes.set(held, 0);
  bytes[at] = sequence % OUTCOMES_IN_ROW;
  bytes.writeUInt16BE(encoded.byteLength, at + 1);
  bytes.set(encoded, at + HEAD_BYTES);
  return bytes;
}

function runOf(sequence: number): number {
  return Math.floor(sequence / OUTCOMES_IN_ROW);
}
