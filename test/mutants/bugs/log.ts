import type { Bug } from "../bug.ts";

/** Bugs of the durable log. */
export const LOG: readonly Bug[] = [
  {
    number: 121,
    name: "what shares an fsync is told before it ends",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "await this.#write(group.map((waiting) => waiting.work));",
        replace: `const written = this.#write(group.map((waiting) => waiting.work));
          for (const waiting of group.slice(1)) waiting.done();
          await written;`,
      },
    ],
  },
  {
    number: 122,
    name: "an overwrite leaves the old end of the log in place",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "drop(draft, draft.records.append(head.index), operations);",
        replace: "draft.records.append(head.index);",
      },
    ],
  },
  {
    number: 123,
    name: "the log is cut above what the catalog has synced",
    edits: [
      {
        file: "src/consensus/log-cutter.ts",
        find: "Math.min(store.syncedIndex, last - keep, keepFrom())",
        replace: "Math.min(store.appliedIndex, last - keep, keepFrom())",
      },
    ],
  },
  {
    number: 124,
    name: "a vote in a term that is known already is not synced",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "sync ||= hardState.term !== draft.hardState.term || hardState.vote !== draft.hardState.vote;",
        replace: "sync ||= hardState.term !== draft.hardState.term;",
      },
    ],
  },
  {
    number: 125,
    name: "the cached end of the log keeps an entry that was replaced",
    edits: [{ file: "src/consensus/entry-tail.ts", find: "else if (head.index < next) {", replace: "else if (head.index < next - 1) {" }],
  },
  {
    number: 126,
    name: "a cut log begins after the wrong term",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "draft.base = { index: compactTo, term };",
        replace: "draft.base = { index: compactTo, term: draft.hardState.term };",
      },
    ],
  },
  {
    number: 127,
    name: "the checksum of an entry is not looked at",
    edits: [
      {
        file: "src/consensus/log-record.ts",
        find: "if (bytes.byteLength < HEAD_BYTES || bytes.readUInt32BE(0) !== checksum(index, bytes)) return undefined;",
        replace: "if (bytes.byteLength < HEAD_BYTES) return undefined;",
      },
    ],
  },
  {
    number: 128,
    name: "after a crash the commit index may lie below what has applied",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "commit: Math.max(hardState.commit, appliedIndex)",
        replace: "commit: hardState.commit",
      },
    ],
  },
  {
    number: 129,
    name: "a failed fsync is retried until it succeeds",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "await this.#write(group.map((waiting) => waiting.work));",
        replace: `const works = group.map((waiting) => waiting.work);
          await this.#write(works).catch(() => this.#write(works));`,
      },
    ],
  },
  {
    number: 130,
    name: "an installed snapshot leaves older entries in the log",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "drop(draft, draft.records.clear(), operations);",
        replace: "draft.records.clear();",
      },
    ],
  },
  {
    number: 131,
    name: "a start of the node is counted, but not synced",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "await log.append({ hardState: undefined, snapshot: undefined, entries: [], start, sync: true });",
        replace: "await log.append({ hardState: undefined, snapshot: undefined, entries: [], start });",
      },
    ],
  },
  {
    number: 132,
    name: "of the hard states that share an fsync the first is kept",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "      draft.hardState = hardState;",
        replace: "      if (draft.hardState === this.#meta.hardState) draft.hardState = hardState;",
      },
    ],
  },
];
