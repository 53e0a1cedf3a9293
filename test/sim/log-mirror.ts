import { parseOrderedIndex } from "../../src/consensus/database.ts";
import { decodeMeta, type LogMeta, recordCount, recordsIn } from "../../src/consensus/log-record.ts";
import type { HardState } from "../../src/raft/types.ts";
import type { Batch, Rows } from "./disk/volume.ts";

const ENTRY = "e";
const META = "m";
const TYPE_AT = 4;
const TERM_AT = 5;
const DATA_FLAG_AT = 13;

/** A node's Raft log as its disk has it, read from the bytes: what the program says of itself is not asked. */
export class LogMirror {
  /** Entries by index, as they were written last, each as its record has it. */
  readonly records = new Map<number, Uint8Array>();
  /** The first index of the value that each of them came in. */
  readonly #firsts = new Map<number, number>();
  /** The last index that each value had when it was written, by its first. */
  readonly #lasts = new Map<number, number>();
  /** The highest index of which there is a record. */
  #end = 0;
  base = { index: 0, term: 0 };
  lastIndex = 0;
  /** The number of the start that wrote last. */
  incarnation = 0;
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  /** What no crash can take: as of the last sync. */
  durable = { term: 0, vote: 0, lastIndex: 0 };

  /** Indexes in a write that has begun and is not known to have ended: a crash leaves either. */
  #unsure = new Set<number>();

  begin(batch: Batch): void {
    for (const operation of batch) {
      if (operation.key[0] !== ENTRY) continue;
      const first = parseOrderedIndex(operation.key.slice(1));
      if (operation.type === "del") {
        for (let index = first; this.#firsts.get(index) === first; index += 1) this.#unsure.add(index);
        continue;
      }
      for (let index = first; index <= this.#end; index += 1) if (this.records.has(index)) this.#unsure.add(index);
      const count = recordCount(operation.value);
      for (let index = first; index < first + count; index += 1) this.#unsure.add(index);
    }
  }

  takeUnsure(): ReadonlySet<number> {
    const unsure = this.#unsure;
    this.#unsure = new Set();
    return unsure;
  }

  /** Takes over what an open has found. @returns false where there is no readable head record */
  load(rows: Rows): boolean {
    this.records.clear();
    this.#firsts.clear();
    this.#lasts.clear();
    this.#end = 0;
    const values = [...rows].filter(([key]) => key.startsWith(ENTRY)).sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, value] of values) this.#put(parseOrderedIndex(key.slice(1)), value);
    const head = rows.get(META);
    const meta = head === undefined ? undefined : decodeMeta(head);
    if (meta === undefined) return false;
    this.#take(meta);
    return true;
  }

  /**
   * @param wrote told of each entry in the batch, after it is in place, in order
   * @returns the head record's content
   */
  write(batch: Batch, sync: boolean, wrote: (index: number, record: Uint8Array) => void): LogMeta | undefined {
    let meta: LogMeta | undefined;
    this.#unsure.clear();
    for (const operation of batch) {
      const kind = operation.key[0];
      if (kind === META && operation.type === "put") meta = decodeMeta(operation.value);
      if (kind !== ENTRY) continue;
      const first = parseOrderedIndex(operation.key.slice(1));
      if (operation.type === "put") this.#put(first, operation.value);
      else for (const index of this.#heldBy(first)) this.#delete(index);
    }
    if (meta !== undefined) this.#take(meta);
    if (sync) this.durable = { term: this.hardState.term, vote: this.hardState.vote, lastIndex: this.lastIndex };
    for (const operation of batch) {
      if (operation.key[0] !== ENTRY || operation.type === "del") continue;
      const first = parseOrderedIndex(operation.key.slice(1));
      for (const index of this.#heldBy(first)) wrote(index, this.records.get(index)!);
    }
    return meta;
  }

  /** An entry that the disk holds though the head record says that the log does not reach to it, alone or with others of its value. */
  leftover(): number | undefined {
    const { base, lastIndex } = this;
    if (this.records.has(lastIndex + 1)) return lastIndex + 1;
    const [lowest] = this.records.keys();
    if (lowest === undefined || lowest > base.index) return undefined;
    // One that has reached further goes with the next cut, though its end was replaced meanwhile.
    const reached = this.#lasts.get(this.#firsts.get(lowest) ?? lowest) ?? lowest;
    return reached > base.index ? undefined : lowest;
  }

  termAt(index: number): number | undefined {
    if (index === this.base.index) return this.base.term;
    const record = this.records.get(index);
    return record === undefined ? undefined : termOf(record);
  }

  /** The newest value is the end of the log: it takes the place of all from its first index on. */
  #put(first: number, value: Uint8Array): void {
    for (const index of this.#from(first)) this.#delete(index);
    let index = first;
    for (const record of recordsIn(value)) {
      this.records.set(index, record);
      this.#firsts.set(index, first);
      index += 1;
    }
    this.#end = index - 1;
    this.#lasts.set(first, this.#end);
  }

  #delete(index: number): void {
    this.records.delete(index);
    this.#firsts.delete(index);
    this.#lasts.delete(index);
  }

  #from(first: number): number[] {
    const indexes: number[] = [];
    for (let index = first; index <= this.#end; index += 1) if (this.records.has(index)) indexes.push(index);
    return indexes;
  }

  /** Those of a value follow each other, but for an end that was replaced. */
  #heldBy(first: number): number[] {
    const indexes: number[] = [];
    for (let index = first; this.#firsts.get(index) === first; index += 1) indexes.push(index);
    return indexes;
  }

  #take(meta: LogMeta): void {
    this.base = meta.base;
    this.lastIndex = meta.lastIndex;
    this.hardState = meta.hardState;
    this.incarnation = meta.incarnation;
  }
}

export function termOf(record: Uint8Array): number {
  let term = 0;
  for (let at = TERM_AT; at < DATA_FLAG_AT; at += 1) term = term * 256 + record[at]!;
  return term;
}

export function isConfChangeRecord(record: Uint8Array): boolean {
  return record[TYPE_AT] !== 0;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.byteLength === b.byteLength && Buffer.compare(a, b) === 0);
}
