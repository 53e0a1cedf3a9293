import type { Bug } from "../bug.ts";

/** Bugs of how the log and the catalog are kept, read again and cut. */
export const LOG_RECORDS: readonly Bug[] = [
  {
    number: 200,
    name: "what a record holds beyond the beginning of the next one counts again after a restart",
    edits: [{ file: "src/consensus/load-log.ts", find: "take(held.filter(({ index }) => index < first));", replace: "take(held);" }],
  },
  {
    number: 201,
    name: "the record that was read last is kept though it was overwritten",
    edits: [{ file: "src/consensus/raft-log.ts", find: "    this.#decoded = undefined;\n", replace: "" }],
  },
  {
    number: 202,
    name: "what is being written behind is not found by reads",
    edits: [
      {
        file: "src/consensus/write-behind.ts",
        find: "return value !== undefined || this.#writing.has(key) ? value : NOT_HERE;",
        replace: "return value !== undefined && this.#running === undefined ? value : NOT_HERE;",
      },
    ],
  },
  {
    number: 203,
    name: "of two states of a row that wait to be written the older one is read",
    edits: [
      {
        file: "src/consensus/write-behind.ts",
        find: "    const newest = this.#waiting.get(key);",
        replace: "    if (this.#writing.has(key)) return this.#writing.get(key);\n    const newest = this.#waiting.get(key);",
      },
    ],
  },
  {
    number: 204,
    name: "what came while a batch was written counts as written",
    edits: [{ file: "src/consensus/write-behind.ts", find: "this.#written = upTo;", replace: "this.#written = this.#added;" }],
  },
  {
    number: 205,
    name: "the catalog counts as synced when its sync begins",
    edits: [
      {
        file: "src/consensus/catalog-store.ts",
        find: "    await this.#unwritten.flush(true);\n    this.#markSynced(index);",
        replace: "    this.#markSynced(index);\n    await this.#unwritten.flush(true);",
      },
    ],
  },
  {
    number: 206,
    name: "a link does not have to follow the one before it",
    edits: [
      {
        file: "src/consensus/seal-chain.ts",
        find: "if (previous !== undefined && link.previous !== previous.index) {",
        replace: "if (previous !== undefined && link.previous > index) {",
      },
    ],
  },
  {
    number: 207,
    name: "the checkpoint names a link that has gone",
    edits: [
      {
        file: "src/consensus/seal-chain.ts",
        find: "if (pruned > 0) this.#kept.splice(0, pruned);",
        replace: "if (pruned > 1) this.#kept.splice(0, pruned - 1);",
      },
    ],
  },
  {
    number: 208,
    name: "the cached end of the log is overwritten in the wrong place once its front was cut",
    edits: [
      {
        file: "src/consensus/entry-tail.ts",
        find: "this.#entries.splice(head.index - this.#first + this.#skip)",
        replace: "this.#entries.splice(head.index - this.#first)",
      },
    ],
  },
  {
    number: 209,
    name: "a cut takes the record with the first entry that stays",
    edits: [{ file: "src/consensus/log-records.ts", find: "lastIndex + 1) <= index + 1;", replace: "lastIndex + 1) <= index + 2;" }],
  },
];
