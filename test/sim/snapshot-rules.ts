import { decode } from "../../src/core/codec.ts";
import type { Rows } from "./disk/volume.ts";
import { sameBytes } from "./log-mirror.ts";

const HEAD = "m";
const CATALOG = "c";

/** What a snapshot brings is the state of its index, all of it and nothing else: held to what was read for one. */
export class SnapshotRules {
  readonly #fail: (invariant: string, message: string) => void;
  readonly #read = new Map<number, Rows>();

  constructor(fail: (invariant: string, message: string) => void) {
    this.#fail = fail;
  }

  /** The rows of a catalog, as a snapshot of it has them. */
  read(rows: Rows): void {
    const index = indexOf(rows);
    if (!this.#read.has(index)) this.#read.set(index, rows);
  }

  /** The rows of a catalog that has become a node's. */
  installed(id: number, rows: Rows): void {
    const index = indexOf(rows);
    const sent = this.#read.get(index);
    if (sent === undefined) return;
    for (const key of new Set([...sent.keys(), ...rows.keys()])) {
      const [own, theirs] = [rows.get(key), sent.get(key)];
      if (!key.startsWith(CATALOG) || (own !== undefined && theirs !== undefined && sameBytes(own, theirs))) continue;
      const what = own === undefined ? "without" : theirs === undefined ? "with more than was sent," : "with another value in";
      this.#fail("a snapshot is the state of its index", `node ${id} installs entry ${index} ${what} the row ${JSON.stringify(key)}`);
      return;
    }
  }
}

function indexOf(rows: Rows): number {
  const head = rows.get(HEAD);
  return head === undefined ? 0 : (decode(head) as { readonly index: number }).index;
}
