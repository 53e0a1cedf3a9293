import type { Operation } from "../../../src/consensus/database.ts";
import { lostRecord } from "../../../src/consensus/level/wal-check.ts";
import { MARKER } from "../../../src/consensus/load-catalog.ts";
import type { Random } from "../../../src/core/random.ts";
import { batchBytes, encodeWal, readWal } from "./wal-format.ts";

export type Rows = ReadonlyMap<string, Uint8Array>;
export type Batch = readonly Operation[];

/** An altered record takes the rest of its block with it. Where nobody looks for what follows it, small blocks leave the gaps that a log of many blocks would have. */
const SMALL_BLOCK_BYTES = 512;

/** What a crash leaves of the batches that were not synced. */
export interface CrashPlan {
  /** Part of them that is there, from the first on. */
  readonly keep: number;
  /** Part of the next one that is there, and means nothing; 0 for none. */
  readonly torn: number;
}

/** A batch that was being written; where it broke off, it is not there as a whole. */
export interface RunningWrite {
  readonly batch: Batch;
  readonly brokenOff: boolean;
}

/** Bytes that are altered while nobody looks. */
export interface Rot {
  /** Places in the log before its last synced batch, as parts of that length: what is altered at the very end cannot be told from a torn write. */
  readonly places: readonly number[];
}

/** What a database's folder holds, whoever has it open: tables, and the log of what came after them. */
export class Volume {
  #tables: Map<string, Uint8Array>;
  #wal: Batch[] = [];
  #walBytes = 0;
  /** How many batches of the log are on the platter for sure. */
  #synced = 0;
  #torn: { readonly batch: Batch; readonly part: number } | undefined;
  #rot: Rot | undefined;
  /** What an open has found lacks batches that stand before others: no state that ever was. */
  gapped = false;

  constructor(rows: Rows = new Map()) {
    this.#tables = new Map(rows);
  }

  /** Batches in the log. */
  get walLength(): number {
    return this.#wal.length;
  }

  get walBytes(): number {
    return this.#walBytes;
  }

  append(batch: Batch, sync: boolean): void {
    this.#wal.push(batch);
    this.#walBytes += batchBytes(batch);
    if (sync) this.#synced = this.#wal.length;
  }

  /** As LevelDB does once its write buffer is full: the log goes into tables, which are synced, and begins anew. */
  flush(writeBufferBytes: number): void {
    if (this.#walBytes <= writeBufferBytes) return;
    this.#settle(this.#wal);
  }

  /** All that no crash can take. */
  synced(): Rows {
    const rows = new Map(this.#tables);
    for (const batch of this.#wal.slice(0, this.#synced)) write(rows, batch);
    return rows;
  }

  /** All that has been written, whether a crash could take it or not. */
  written(): Rows {
    const rows = new Map(this.#tables);
    for (const batch of this.#wal) write(rows, batch);
    return rows;
  }

  crash(plan: CrashPlan, running: RunningWrite | undefined): void {
    const all = running === undefined ? this.#wal : [...this.#wal, running.batch];
    const keptMax = running?.brokenOff === true ? this.#wal.length : all.length;
    const kept = Math.min(keptMax, this.#synced + Math.round((all.length - this.#synced) * plan.keep));
    const next = all[kept];
    this.#torn = next === undefined || plan.torn === 0 ? undefined : { batch: next, part: plan.torn };
    this.#wal = all.slice(0, kept);
  }

  /** @returns false where the log has no synced batch with others before it */
  rot(rot: Rot): boolean {
    if (this.#synced < 2) return false;
    this.#rot = rot;
    return true;
  }

  /** Alters a value of the tables. @returns whether there was one to alter */
  rotTable(random: Random): boolean {
    const keys = [...this.#tables.keys()];
    const key = keys[Math.floor(random.float() * keys.length)];
    const value = key === undefined ? undefined : this.#tables.get(key);
    if (key === undefined || value === undefined || value.byteLength === 0) return false;
    const altered = new Uint8Array(value);
    altered[Math.floor(random.float() * altered.byteLength)]! ^= 1 << Math.floor(random.float() * 8);
    this.#tables.set(key, altered);
    return true;
  }

  /**
   * What an open finds, as LevelDB does: the whole batches of the log go into tables, and of altered ones nothing is said.
   * @param marker looked for behind altered records, where the database is checked for that
   * @returns the rows, or the place of an altered record that is not the last
   */
  recover(marker: Uint8Array | undefined): Map<string, Uint8Array> | { readonly lostAt: number } {
    if (this.#torn !== undefined || this.#rot !== undefined) {
      const blockBytes = marker === undefined ? SMALL_BLOCK_BYTES : undefined;
      const bytes = this.#damagedLog(blockBytes);
      const lostAt = marker === undefined ? undefined : lostRecord(bytes, Buffer.from(marker));
      if (lostAt !== undefined) return { lostAt };
      const found = readWal(bytes, blockBytes);
      const last = found.at(-1) ?? 0;
      this.gapped ||= this.#wal.some((batch, number) => number < last && !found.includes(number) && batch.some(isState));
      this.#settle(this.#wal.filter((_, number) => found.includes(number)));
    } else {
      this.#settle(this.#wal);
    }
    return new Map(this.#tables);
  }

  #damagedLog(blockBytes: number | undefined): Buffer {
    const whole = encodeWal(this.#wal, blockBytes);
    const torn = this.#torn;
    let bytes = whole;
    if (torn !== undefined) {
      const longer = encodeWal([...this.#wal, torn.batch], blockBytes);
      bytes = longer.subarray(0, whole.byteLength + Math.floor((longer.byteLength - whole.byteLength) * torn.part));
    }
    const length = this.#rot === undefined ? 0 : encodeWal(this.#wal.slice(0, this.#synced - 1), blockBytes).byteLength;
    for (const place of this.#rot?.places ?? []) bytes[Math.floor(place * length)]! ^= 0x5a;
    return bytes;
  }

  #settle(batches: readonly Batch[]): void {
    for (const batch of batches) write(this.#tables, batch);
    this.#wal = [];
    this.#walBytes = 0;
    this.#synced = 0;
    this.#torn = undefined;
    this.#rot = undefined;
  }
}

/** All but the catalog's note of a sync that had nothing else to write. */
function isState({ key }: Operation): boolean {
  return key !== MARKER;
}

export function write(rows: Map<string, Uint8Array>, batch: Batch): void {
  for (const operation of batch) {
    if (operation.type === "put") rows.set(operation.key, operation.value);
    else rows.delete(operation.key);
  }
}
