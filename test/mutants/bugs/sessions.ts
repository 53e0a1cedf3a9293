import type { Bug } from "../bug.ts";

/** Bugs of sessions, of the outcomes kept for them, and of those who propose in them. */
export const SESSIONS: readonly Bug[] = [
  {
    number: 220,
    name: "the lowest sequence that is unanswered counts as answered",
    edits: [{ file: "src/metadata/apply-entry.ts", find: "if (sequence < lowest) return", replace: "if (sequence <= lowest) return" }],
  },
  {
    number: 221,
    name: "the newest command of a session is not looked up when it comes again",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "const kept = sequence > session.highest ?",
        replace: "const kept = sequence >= session.highest ?",
      },
    ],
  },
  {
    number: 222,
    name: "the outcome of a refused command is not kept",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "ledger.keepOutcome(id, sequence, encoded);",
        replace: "if (outcome.refused === undefined) ledger.keepOutcome(id, sequence, encoded);",
      },
    ],
  },
  {
    number: 223,
    name: "the highest sequence of a session goes back with an older one",
    edits: [{ file: "src/metadata/apply-entry.ts", find: "highest: Math.max(highest, sequence)", replace: "highest: sequence" }],
  },
  {
    number: 224,
    name: "a row of outcomes is not read where another row of the session was",
    edits: [
      {
        file: "src/metadata/ledger.ts",
        find: "run = new OutcomeRun(this.#view.get(outcomeKey(id, slot)));",
        replace: "run = new OutcomeRun(runs.size > 0 ? undefined : this.#view.get(outcomeKey(id, slot)));",
      },
    ],
  },
  {
    number: 225,
    name: "a session is not written with the outcomes that it has brought",
    edits: [
      {
        file: "src/metadata/ledger.ts",
        find: "if (changed && session !== undefined) changes.push",
        replace: "if (changed && session !== undefined && runs.size === 0) changes.push",
      },
    ],
  },
  {
    number: 226,
    name: "an outcome is found under any lower sequence of its row",
    edits: [
      {
        file: "src/metadata/outcome-rows.ts",
        find: "if (bytes[at] === place) return",
        replace: "if ((bytes[at] ?? 0) >= place) return",
      },
    ],
  },
  {
    number: 227,
    name: "a command that is sent again gives up those in front of it",
    edits: [
      {
        file: "src/consensus/proposals.ts",
        find: "const lowest = sessionless ? 0 : this.#lowest();",
        replace: "const lowest = sessionless ? 0 : this.#sequence;",
      },
    ],
  },
  {
    number: 228,
    name: "a session that was refused goes on being used",
    edits: [{ file: "src/consensus/proposals.ts", find: "this.#session = undefined;\n  }", replace: "this.#opening = false;\n  }" }],
  },
  {
    number: 229,
    name: "a start is given the session that the one before has opened and not used",
    edits: [
      {
        file: "src/metadata/apply-session.ts",
        find: "if (newest?.incarnation === boot.incarnation) {",
        replace: "if (newest !== undefined) {",
      },
    ],
  },
];
