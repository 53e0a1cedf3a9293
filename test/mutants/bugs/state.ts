import type { Bug } from "../bug.ts";

/** Bugs of the session table, the applier, the catalog and its snapshots. */
export const STATE: readonly Bug[] = [
  {
    number: 141,
    name: "the outcome of a command is not kept",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "  ledger.keepOutcome(id, sequence, encoded);\n",
        replace: "",
      },
    ],
  },
  {
    number: 142,
    name: "an outcome takes the place of one that may still be asked for",
    edits: [
      {
        file: "src/metadata/outcome-rows.ts",
        find: "return runOf(sequence) % OUTCOME_SLOTS;",
        replace: "return runOf(sequence) % 2;",
      },
    ],
  },
  {
    number: 143,
    name: "a repeated command runs again and is answered as the first time",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "if (kept !== undefined) return { outcome: kept, duplicate: true };",
        replace: "if (kept !== undefined) {\n    run(draft, context, envelope);\n    return { outcome: kept, duplicate: true };\n  }",
      },
    ],
  },
  {
    number: 144,
    name: "a session of an earlier start of the node is accepted",
    edits: [
      {
        file: "src/metadata/apply-session.ts",
        find: 'if (newest !== undefined && bootFault({ ...boot, earlier: boot.earlier ?? [] }, newest) !== undefined) return refuse("incarnation");',
        replace: 'if (newest !== undefined && newest.incarnation < 0) return refuse("incarnation");',
      },
    ],
  },
  {
    number: 145,
    name: "entries that a snapshot has overtaken are applied again",
    edits: [{ file: "src/consensus/applier.ts", find: "if (entry.index <= store.appliedIndex) continue;", replace: "" }],
  },
  {
    number: 146,
    name: "the configuration is not in the batch that applies its change",
    edits: [
      {
        file: "src/consensus/applier.ts",
        find: "await store.applyBatch({ entries: done, changes, term, confState });",
        replace: "await store.applyBatch({ entries: done, changes, term, confState: undefined });",
      },
    ],
  },
  {
    number: 147,
    name: "the seal does not cover what an entry has changed",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "changes: draft.changes });",
        replace: "changes: new Map() });",
      },
    ],
  },
  {
    number: 148,
    name: "the cache of the catalog keeps what a batch has changed",
    edits: [
      {
        file: "src/consensus/catalog-store.ts",
        find: "for (const [key, value] of changes) if (this.#cache.has(key)) this.#cache.set(key, { value });",
        replace: "for (const [key, value] of changes) if (value === undefined) this.#cache.delete(key);",
      },
    ],
  },
  {
    number: 149,
    name: "the cache of the catalog outlives an installed snapshot",
    edits: [{ file: "src/consensus/catalog-store.ts", find: "      this.#cache.clear();\n", replace: "" }],
  },
  {
    number: 150,
    name: "what was applied while a sync ran counts as synced",
    edits: [
      {
        file: "src/consensus/catalog-store.ts",
        find: "this.#markSynced(index);\n    if (this.#meta.index > index)",
        replace: "this.#markSynced(this.#meta.index);\n    if (this.#meta.index > index)",
      },
    ],
  },
  {
    number: 151,
    name: "the seals of the catalog are not checked when it is opened",
    edits: [
      {
        file: "src/consensus/load-catalog.ts",
        find: 'if ("broken" in verdict) throw corrupt(options, verdict.broken);\n',
        replace: "",
      },
      {
        file: "src/consensus/load-catalog.ts",
        find: "return { chain, meta, seal: verdict.value ?? NO_SEAL };",
        replace: 'return { chain, meta, seal: ("value" in verdict ? verdict.value : undefined) ?? NO_SEAL };',
      },
    ],
  },
  {
    number: 152,
    name: "a snapshot is sent under the index of the message, not of its content",
    edits: [
      {
        file: "src/consensus/snapshot-sender.ts",
        find: "snapshot: { meta, data: message.snapshot.data } };",
        replace: "snapshot: { meta: message.snapshot.meta, data: message.snapshot.data } };",
      },
    ],
  },
  {
    number: 153,
    name: "a snapshot is installed while entries are being applied",
    edits: [
      {
        file: "src/consensus/snapshots.ts",
        find: "await applier.exclusive(async () => {",
        replace: "await Promise.resolve(applier).then(async () => {",
      },
    ],
  },
  {
    number: 154,
    name: "a snapshot is installed though the log has brought more meanwhile",
    edits: [
      {
        file: "src/consensus/snapshots.ts",
        find: "if (index <= store.appliedIndex || this.#stopped) {",
        replace: "if (this.#stopped) {",
      },
    ],
  },
  {
    number: 155,
    name: "the core is told of a snapshot before its content is in place",
    edits: [
      {
        file: "src/consensus/snapshots.ts",
        find: "    const answer = await this.#receiver.take(from, header, chunks);",
        replace: `    if (header.kind === "content") this.#options.step(header.message);
    const answer = await this.#receiver.take(from, header, chunks);`,
      },
    ],
  },
  {
    number: 156,
    name: "a snapshot that did not arrive is not reported",
    edits: [
      {
        file: "src/consensus/snapshot-sender.ts",
        find: "if (!this.#stopping.signal.aborted) this.#options.report(to, status);",
        replace: 'if (!this.#stopping.signal.aborted && status === "finish") this.#options.report(to, status);',
      },
    ],
  },
  {
    number: 157,
    name: "a snapshot goes on after the parts of another state",
    edits: [
      {
        file: "src/consensus/snapshot-receiver.ts",
        find: "const same = partial?.meta.index === meta.index && partial.meta.term === meta.term && Buffer.compare(partial.seal, seal) === 0;",
        replace: "const same = partial !== undefined && partial.meta.index <= meta.index && partial.seal.byteLength === seal.byteLength;",
      },
    ],
  },
];
