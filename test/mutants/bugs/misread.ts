import type { Bug } from "../bug.ts";

/** One condition or one line that a reader of the source could take for needless. */
export const MISREAD: readonly Bug[] = [
  {
    number: 250,
    name: "what is not synced has a place in the chain of the log",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "const sequence = sync ? before.sequence + 1 : before.sequence;",
        replace: "const sequence = before.sequence + 1;",
      },
      {
        file: "src/consensus/raft-log.ts",
        find: "const links = sync ? this.#chain.append(sequence, new Uint8Array(0), sizeBytes + 256) : [];",
        replace: "const links = this.#chain.append(sequence, new Uint8Array(0), sizeBytes + 256);",
      },
    ],
  },
  {
    number: 251,
    name: "the cached end of the log outlives a snapshot",
    harmless: "what is cached lies below the base or beyond the end, where nobody looks, and what is written next begins it anew",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "      if (work.snapshot !== undefined) this.#tail.reset(work.snapshot.index + 1);\n",
        replace: "",
      },
    ],
  },
  {
    number: 252,
    name: "an entry larger than a message is never read back",
    edits: [
      {
        file: "src/consensus/raft-log.ts",
        find: "if (found.length > 0 && sizeBytes > maxBytes) break;",
        replace: "if (sizeBytes > maxBytes) break;",
      },
    ],
  },
  {
    number: 253,
    name: "an append from below the commit index is acknowledged to its end",
    edits: [
      {
        file: "src/raft/follower.ts",
        find: "    raft.sendAppendReply(from, raft.log.committed);\n    return;",
        replace: "    raft.sendAppendReply(from, prevIndex + entries.length);\n    return;",
      },
    ],
  },
  {
    number: 254,
    name: "the core forgets up to where a snapshot was restored",
    edits: [{ file: "src/raft/follower.ts", find: "  raft.restoredIndex = index;\n", replace: "" }],
  },
  {
    number: 255,
    name: "the log is cut while a snapshot that is sent, or was installed, still needs it",
    edits: [
      {
        file: "src/consensus/log-cutter.ts",
        find: "const target = Math.min(store.syncedIndex, last - keep, keepFrom());",
        replace: "const target = Math.min(store.syncedIndex, last - keep);",
      },
    ],
  },
  {
    number: 257,
    name: "a command below the lowest one that is unanswered is applied",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "  if (sequence < lowest) return { outcome: unknown, duplicate: true };\n",
        replace: "",
      },
    ],
  },
  {
    number: 258,
    name: "a late copy of a command sets the lowest one that is unanswered back",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "const lowest = Math.max(session.lowest, envelope.lowest);",
        replace: "const lowest = envelope.lowest;",
      },
    ],
  },
  {
    number: 259,
    name: "a row that was deleted in the same batch is still read",
    edits: [
      {
        file: "src/metadata/apply-entry.ts",
        find: "return value !== undefined || this.#changes.has(key) ? value : this.#base.get(key);",
        replace: "return value ?? this.#base.get(key);",
      },
    ],
  },
  {
    number: 260,
    name: "a stream is heard after it was given up",
    harmless: "each word is held against the start of its sender anew, and a stream that was aborted brings no more",
    edits: [
      {
        file: "src/consensus/libp2p/inbound.ts",
        find: "    if (this.#boot === undefined || this.#ended) return;\n",
        replace: "    if (this.#boot === undefined) return;\n",
      },
      {
        file: "src/consensus/libp2p/inbound.ts",
        find: "  #onFrame(body: Uint8Array, messages: PeerMessage[]): void {\n    if (this.#ended) return;\n",
        replace: "  #onFrame(body: Uint8Array, messages: PeerMessage[]): void {\n",
      },
      {
        file: "src/consensus/libp2p/inbound.ts",
        find: "  #onMessage(event: StreamMessageEvent): void {\n    if (this.#ended) return;\n",
        replace: "  #onMessage(event: StreamMessageEvent): void {\n",
      },
    ],
  },
  {
    number: 261,
    name: "where the records of a batch lie is not remembered",
    edits: [{ file: "src/consensus/raft-log.ts", find: "    this.#records.take(records);\n", replace: "" }],
  },
  {
    number: 264,
    name: "the parts that an installed snapshot came in are not counted when it is opened",
    edits: [{ file: "src/consensus/load-catalog.ts", find: "if (parts !== (meta.parts ?? 0))", replace: "if (parts < 0)" }],
  },
  {
    number: 262,
    name: "a snapshot that was stored does not count as applied",
    edits: [{ file: "src/raft/storage-reply.ts", find: "  appliedTo(raft, meta.index, 0);\n", replace: "" }],
  },
  {
    number: 263,
    name: "a snapshot of an earlier start is taken",
    harmless: "what a snapshot holds is committed, whichever start sends it, and its term is looked at by the core",
    edits: [{ file: "src/consensus/inbox.ts", find: "    if (refusal !== undefined) throw refusalError(from, refusal);\n", replace: "" }],
  },
];
