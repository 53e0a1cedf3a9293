import type { Outcome } from "./commands.ts";
import { OUTCOME } from "./rows.ts";

// Outcomes of one session, so many sequences in a row, so that a batch of commands writes few of them. A row: the number of the run (6 bytes, big-endian), then
// for each outcome, in the order in which they applied, its place in the run (1), its length (2), and the outcome.

/** Outcomes kept for one session: a proposer has at most so many commands unanswered. */
export const SESSION_WINDOW = 1_024;
/** Sequences of one row. */
export const OUTCOMES_IN_ROW = 16;
/** Rows of one session: one more than fill the window, since it may begin in the middle of one. They go round. */
export const OUTCOME_SLOTS = SESSION_WINDOW / OUTCOMES_IN_ROW + 1;
const RUN_BYTES = 6;
const HEAD_BYTES = 3;

export function outcomeSlot(sequence: number): number {
  return runOf(sequence) % OUTCOME_SLOTS;
}

/** One row, and what is added to it. */
export class OutcomeRun {
  changed = false;
  #run: number | undefined;
  /** As a row has them, one after the other. */
  #parts: Uint8Array[];

  constructor(row: Uint8Array | undefined) {
    this.#run = row === undefined ? undefined : bufferOf(row).readUIntBE(0, RUN_BYTES);
    this.#parts = row === undefined ? [] : [row.subarray(RUN_BYTES)];
  }

  /** The outcome under `sequence`; undefined where the row does not hold it, as one of a window before does not. */
  find(sequence: number): Outcome | undefined {
    if (this.#run !== runOf(sequence)) return undefined;
    for (const part of this.#parts) {
      const bytes = bufferOf(part);
      for (let at = 0; at < bytes.byteLength; ) {
        const end = at + HEAD_BYTES + bytes.readUInt16BE(at + 1);
        if (bytes[at] === sequence % OUTCOMES_IN_ROW) return OUTCOME.decode(bytes.subarray(at + HEAD_BYTES, end));
        at = end;
      }
    }
    return undefined;
  }

  /** What the row holds of a run before makes room. */
  add(sequence: number, encoded: Uint8Array): void {
    const run = runOf(sequence);
    if (this.#run !== run) this.#parts = [];
    this.#run = run;
    const part = Buffer.allocUnsafe(HEAD_BYTES + encoded.byteLength);
    part[0] = sequence % OUTCOMES_IN_ROW;
    part.writeUInt16BE(encoded.byteLength, 1);
    part.set(encoded, HEAD_BYTES);
    this.#parts.push(part);
    this.changed = true;
  }

  encode(): Uint8Array {
    const run = Buffer.allocUnsafe(RUN_BYTES);
    run.writeUIntBE(this.#run ?? 0, 0, RUN_BYTES);
    return Buffer.concat([run, ...this.#parts]);
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function runOf(sequence: number): number {
  return Math.floor(sequence / OUTCOMES_IN_ROW);
}
