import { recordsOf } from "./log-format.ts";
import { readVarint } from "./varint.ts";

/** What a manifest says is there. */
export interface Version {
  /** Write-ahead logs from this number on hold what is in no table yet. */
  readonly logNumber: number;
  readonly tables: ReadonlySet<number>;
}

// An edit of the manifest (db/version_edit.cc): tags and what follows them, all numbers as varints.
const COMPARATOR = 1;
const LOG_NUMBER = 2;
const NEXT_FILE = 3;
const LAST_SEQUENCE = 4;
const COMPACT_POINTER = 5;
const DELETED_FILE = 6;
const NEW_FILE = 7;
const PREVIOUS_LOG = 9;

/** Reads a manifest up to its first record that is not whole, as LevelDB does. Undefined where it is none. */
export function readManifest(manifest: Buffer): Version | undefined {
  const tables = new Set<number>();
  let logNumber: number | undefined;
  for (const record of recordsOf(manifest)) {
    const edit = new EditReader(record);
    while (edit.left) {
      const tag = edit.number();
      if (tag === COMPARATOR) edit.skipText();
      else if (tag === LOG_NUMBER) logNumber = edit.number();
      else if (tag === NEXT_FILE || tag === LAST_SEQUENCE || tag === PREVIOUS_LOG) edit.number();
      else if (tag === COMPACT_POINTER) {
        edit.number();
        edit.skipText();
      } else if (tag === DELETED_FILE) {
        edit.number();
        tables.delete(edit.number());
      } else if (tag === NEW_FILE) {
        edit.number();
        tables.add(edit.number());
        edit.number();
        edit.skipText();
        edit.skipText();
      } else return undefined;
      if (edit.failed) return undefined;
    }
  }
  return logNumber === undefined ? undefined : { logNumber, tables };
}

class EditReader {
  readonly #bytes: Buffer;
  #at = 0;
  failed = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): boolean {
    return !this.failed && this.#at < this.#bytes.byteLength;
  }

  number(): number {
    const read = readVarint(this.#bytes, this.#at);
    if (read === undefined) this.failed = true;
    this.#at = read?.end ?? this.#bytes.byteLength;
    return read?.value ?? 0;
  }

  skipText(): void {
    const length = this.number();
    this.#at += length;
    if (this.#at > this.#bytes.byteLength) this.failed = true;
  }
}
