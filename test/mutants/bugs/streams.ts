import type { Bug } from "../bug.ts";

/** Bugs of frames, queues and links, and of what they carry. */
export const STREAMS: readonly Bug[] = [
  {
    number: 240,
    name: "a frame longer than 64 KiB is cut short",
    edits: [
      {
        file: "src/consensus/libp2p/frames.ts",
        find: "const length = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(0);",
        replace: "const length = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(0) & 0xffff;",
      },
    ],
  },
  {
    number: 241,
    name: "each frame loses the message behind it in the queue",
    edits: [
      { file: "src/consensus/libp2p/outgoing.ts", find: "this.#bulk.splice(0, count);", replace: "this.#bulk.splice(0, count + 1);" },
    ],
  },
  {
    number: 242,
    name: "what is long is said in the wrong order",
    edits: [{ file: "src/consensus/libp2p/outgoing.ts", find: "      taken.push(message);", replace: "      taken.unshift(message);" }],
  },
  {
    number: 243,
    name: "a link that was lost says nothing of it",
    edits: [
      {
        file: "src/consensus/libp2p/peer-link.ts",
        find: "      const dropped = this.#forget();\n      if (!this.#closed) this.#options.lost(dropped);",
        replace: "      this.#forget();",
      },
    ],
  },
  {
    number: 244,
    name: "messages that come in one piece are heard in the wrong order",
    edits: [
      {
        file: "src/consensus/libp2p/inbound.ts",
        find: "    if (this.#boot === undefined) this.#onHello(body);\n    else for (const message of decodeFrame(body)) messages.push(message);",
        replace:
          "    if (this.#boot === undefined) this.#onHello(body);\n    else for (const message of decodeFrame(body)) messages.unshift(message);",
      },
    ],
  },
  {
    number: 245,
    name: "an entry without data comes with data that is empty",
    edits: [
      {
        file: "src/consensus/wire.ts",
        find: "data: data === null ? undefined : binary(data)",
        replace: "data: data === null ? new Uint8Array(0) : binary(data)",
      },
    ],
  },
  {
    number: 246,
    name: "the second entry of an append has the index of the first",
    edits: [
      {
        file: "src/consensus/wire.ts",
        find: "index: prevIndex + 1 + entries.length,",
        replace: "index: prevIndex + 1 + Math.max(0, entries.length - 1),",
      },
    ],
  },
  {
    number: 247,
    name: "the wire loses the term of the hint",
    harmless: "a hint only saves rounds: without its term the leader goes back further than it has to",
    edits: [{ file: "src/consensus/wire.ts", find: "hintTerm: natural(d) }", replace: "hintTerm: Math.min(0, natural(d)) }" }],
  },
  {
    number: 248,
    name: "what waited for a link that could not be opened is dropped without a word",
    edits: [
      {
        file: "src/consensus/libp2p/peer-link.ts",
        find: "        const dropped = this.#queue.clear();\n        if (!this.#closed) this.#options.lost(dropped);",
        replace: "        this.#queue.clear();",
      },
    ],
  },
];
