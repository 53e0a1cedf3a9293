import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { type Effect, hashLink, type Link } from "./chain.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const LINK: Link = {
  before: new Uint8Array(32).fill(7),
  index: 5,
  time: 9,
  data: bytes("entry"),
  effects: [
    {
      outcome: bytes("ok"),
      changes: new Map([
        ["tag/é", bytes("1")],
        ["gone", undefined],
      ]),
    },
  ],
};
const [EFFECT] = LINK.effects as [Effect];
const hex = (link: Partial<Link>): string => Buffer.from(hashLink({ ...LINK, ...link })).toString("hex");

test("G9: a link is the SHA-256 of what it holds, with lengths, whatever its size", () => {
  const numbers = Buffer.alloc(24);
  numbers.writeDoubleBE(5, 0);
  numbers.writeDoubleBE(9, 8);
  for (const data of [bytes("entry"), new Uint8Array(200_000).fill(3)]) {
    numbers.writeUInt32BE(data.byteLength, 16);
    numbers.writeUInt32BE(1, 20);
    const counts = Buffer.from("0000000200000002", "hex");
    const changes = ["00000006 00000002", Buffer.from("tag/é1").toString("hex"), "00000004 00000000", Buffer.from("gone").toString("hex")];
    const parts = [LINK.before, numbers, data, counts, EFFECT.outcome, Buffer.from(changes.join("").replaceAll(" ", ""), "hex")];
    expect(hex({ data })).toBe(createHash("sha256").update(Buffer.concat(parts)).digest("hex"));
  }
});

test("G9: a link differs with each part of it, and with where one part ends and the next begins", () => {
  const changes = [
    new Map(),
    new Map([...EFFECT.changes].toReversed()),
    new Map([...EFFECT.changes, ["gone", new Uint8Array()]]),
    new Map([["tag/é1", new Uint8Array()] as const, ["gone", undefined] as const]),
  ];
  const others: Partial<Link>[] = [
    { before: new Uint8Array(32).fill(8) },
    { index: 6 },
    { time: 10 },
    { data: bytes("entrz") },
    { data: bytes("entryo"), effects: [{ ...EFFECT, outcome: bytes("k") }] },
    { effects: [] },
    { effects: [EFFECT, EFFECT] },
    {
      effects: [
        { ...EFFECT, changes: new Map() },
        { outcome: bytes(""), changes: EFFECT.changes },
      ],
    },
    ...[{ outcome: bytes("no") }, ...changes.map((each) => ({ changes: each }))].map((other) => ({ effects: [{ ...EFFECT, ...other }] })),
  ];
  expect(new Set([hex({}), ...others.map(hex)]).size).toBe(others.length + 1);
});
