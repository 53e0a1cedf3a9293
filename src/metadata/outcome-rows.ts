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
const NOTHING = new Uint8Array();

export function outcomeSlot(sequence: number): number {
  return runOf(sequence) % OUTCOME_SLOTS;
}

/** One row, and what is added to it. */
export class OutcomeRun {
  changed = false;
  #run: number | undefined;
  /** What is in the row already, as it has them. */
  #row: Uint8Array;
  /** What is added, each with its place. */
  #places: number[] = [];
  #added: Uint8Array[] = [];

  constructor(row: Uint8Array | undefined) {
    this.#run = row === undefined ? undefined : bufferOf(row).readUIntBE(0, RUN_BYTES);
    this.#row = row === undefined ? NOTHING : row.subarray(RUN_BYTES);
  }

  /** The outcome under `sequence`; undefined where the row does not hold it, as one of a window before does not. */
  find(sequence: number): Outcome | undefined {
    if (this.#run !== runOf(sequence)) return undefined;
    const place = sequence % OUTCOMES_IN_ROW;
    const bytes = bufferOf(this.#row);
    for (let at = 0; at < bytes.byteLength; ) {
      const end = at + HEAD_BYTES + bytes.readUInt16BE(at + 1);
      if (bytes[at] === place) return OUTCOME.decode(bytes.subarray(at + HEAD_BYTES, end));
      at = end;
    }
    const added = this.#added[this.#places.indexOf(place)];
    return added === undefined ? undefined : OUTCOME.decode(added);
  }

  /** What the row holds of a run before makes room. */
  add(sequence: number, encoded: Uint8Array): void {
    const run = runOf(sequence);
    if (this.#run !== run) {
      this.#row = NOTHING;
      this.#places = [];
      this.#added = [];
    }
    this.#run = run;
    this.#places.push(sequence % OUTCOMES_IN_ROW);
    this.#added.push(encoded);
    this.changed = true;
  }

  encode(): Uint8Array {
    let sizeBytes = RUN_BYTES + this.#row.byteLength;
    for (const { byteLength } of this.#added) sizeBytes += HEAD_BYTES + byteLength;
    const row = Buffer.allocUnsafe(sizeBytes);
    row.writeUIntBE(this.#run ?? 0, 0, RUN_BYTES);
    row.set(this.#row, RUN_BYTES);
    let at = RUN_BYTES + this.#row.byteLength;
    for (const [which, encoded] of this.#added.entries()) {
      row[at] = this.#places[which]!;
      row.writeUInt16BE(encoded.byteLength, at + 1);
      row.set(encoded, at + HEAD_BYTES);
      at += HEAD_BYTES + encoded.byteLength;
    }
    return row;
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function runOf(sequence: number): number {
  return Math.floor(sequence / OUTCOMES_IN_ROW);
}
