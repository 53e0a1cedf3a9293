import type { Bug } from "../bug.ts";

/** Bugs of what nodes say to each other, and of whom they listen to. */
export const TRANSPORT: readonly Bug[] = [
  {
    number: 181,
    name: "a peer whose disk lacks what it has acknowledged is listened to",
    edits: [
      {
        file: "src/consensus/incarnations.ts",
        find: "if (speaker?.incarnation !== incarnation && isBehind(boot, known))",
        replace: "if (speaker?.incarnation === incarnation && isBehind(boot, known))",
      },
    ],
  },
  {
    number: 182,
    name: "a late word of an earlier start of a peer is taken",
    edits: [
      {
        file: "src/consensus/incarnations.ts",
        find: "const fault = newest === undefined ? undefined : bootFault(boot, newest);",
        replace: "const fault = newest === undefined || newest.incarnation !== incarnation ? undefined : bootFault(boot, newest);",
      },
    ],
  },
  {
    number: 183,
    name: "the wire loses that an append was rejected",
    edits: [
      {
        file: "src/consensus/wire.ts",
        find: "index: natural(a), rejected: flag(b), hintIndex",
        replace: "index: natural(a), rejected: flag(b) && natural(c) === 0, hintIndex",
      },
    ],
  },
  {
    number: 184,
    name: "the wire loses that a vote was refused",
    edits: [
      {
        file: "src/consensus/wire.ts",
        find: "return { type, ...head, rejected: flag(a), ...committedIn(b, c) };",
        replace: 'return { type, ...head, rejected: flag(a) && type === "preVoteReply", ...committedIn(b, c) };',
      },
    ],
  },
  {
    number: 185,
    name: "the wire loses the position of reads",
    edits: [
      {
        file: "src/consensus/wire.ts",
        find: "return { type, ...head, commit: natural(a), read: natural(b) };",
        replace: "return { type, ...head, commit: natural(a), read: Math.min(0, natural(b)) };",
      },
    ],
  },
  {
    number: 186,
    name: "the wire loses the type of an entry",
    edits: [
      {
        file: "src/consensus/wire.ts",
        find: "packed.push(entry.term, ENTRY_TYPES.indexOf(entry.type), entry.data ?? null);",
        replace: "packed.push(entry.term, Math.min(0, ENTRY_TYPES.indexOf(entry.type)), entry.data ?? null);",
      },
    ],
  },
  {
    number: 187,
    name: "a link that could not be opened once is never opened again",
    edits: [
      {
        file: "src/consensus/libp2p/peer-link.ts",
        find: "if (this.#dialling === controller) this.#dialling = undefined;",
        replace: "if (this.#dialling === controller && this.#stream !== undefined) this.#dialling = undefined;",
      },
    ],
  },
  {
    number: 188,
    name: "a stream that ended is kept in use",
    edits: [
      {
        file: "src/consensus/libp2p/peer-link.ts",
        find: "      const dropped = this.#forget();\n      if (!this.#closed) this.#options.lost(dropped);",
        replace: "      if (!this.#closed) this.#options.lost(0);",
      },
      {
        file: "src/consensus/libp2p/peer-link.ts",
        find: "return this.#stream === undefined ? undefined : this.#unansweredSince;",
        replace: 'return this.#stream?.status !== "open" ? undefined : this.#unansweredSince;',
      },
    ],
  },
  {
    number: 189,
    name: "the bytes held of a frame are counted without its prefix",
    edits: [
      {
        file: "src/consensus/libp2p/frames.ts",
        find: "    this.#heldBytes -= sizeBytes;",
        replace: "    this.#heldBytes -= sizeBytes - PREFIX_BYTES;",
      },
    ],
  },
  {
    number: 190,
    name: "the third piece of a frame comes before its second",
    edits: [
      {
        file: "src/consensus/libp2p/frames.ts",
        find: "this.#parts.push(piece);",
        replace: "if (this.#parts.length > 1) this.#parts.splice(1, 0, piece);\n    else this.#parts.push(piece);",
      },
    ],
  },
  {
    number: 191,
    name: "a disk that was put back is listened to once its number has passed what is known",
    edits: [
      {
        file: "src/metadata/records.ts",
        find: 'nonce === undefined || nonce === known.nonce ? undefined : "forked"',
        replace: 'nonce === "" ? "forked" : undefined',
      },
    ],
  },
];
