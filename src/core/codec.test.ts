import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { Packr, Unpackr } from "msgpackr";
import { expect, test } from "vitest";
import { decode, encode } from "./codec.ts";

test("what is encoded comes back, integers to 2^53 and bytes included", () => {
  const value = { a: 1, b: Number.MAX_SAFE_INTEGER, c: "ä", d: [true, null, -5, 1.5], e: { f: undefined } };
  expect(decode(encode(value))).toEqual(value);
  const bytes = decode(encode({ x: Uint8Array.of(1, 2, 3) })) as { x: Uint8Array };
  expect([...bytes.x]).toEqual([1, 2, 3]);
});

test("the same value gives the same bytes, also after a round trip", () => {
  fc.assert(
    fc.property(
      fc.jsonValue().filter((value) => !JSON.stringify(value).includes('"__proto__":')),
      (value) => {
        const once = encode(value);
        expect([...encode(decode(once))]).toEqual([...once]);
      },
    ),
    { numRuns: 200 },
  );
});

test("a key __proto__ in foreign JSON comes back as __proto_, the same on every node, and gives no object a prototype", () => {
  const decoded = decode(encode(JSON.parse('{"a":{"__proto__":{"admin":true}}}'))) as { a: Record<string, unknown> };
  expect(Object.keys(decoded.a)).toEqual(["__proto_"]);
  expect(decoded.a.admin).toBeUndefined();
  expect([...encode(decode(encode(decoded)))]).toEqual([...encode(decoded)]);
});

test("the encoder's buffer is not shared between answers", () => {
  const first = encode({ n: 1 });
  const copy = Uint8Array.from(first);
  encode({ n: 2, more: "x".repeat(100) });
  expect([...first]).toEqual([...copy]);
});

const OPTIONS = { useRecords: false, int64AsType: "number", moreTypes: false } as const;
const library = { packr: new Packr({ ...OPTIONS, variableMapSize: true }), unpackr: new Unpackr(OPTIONS) };

const NUMBERS = [0, -0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, -1, -32, -33, Number.NaN];
const LENGTHS = [0, 15, 16, 31, 32, 255, 256, 1_000, 1_024, 2_000];
const EDGES: readonly unknown[] = [
  null,
  undefined,
  ...NUMBERS,
  ...LENGTHS.map((length) => "k".repeat(length)),
  ...LENGTHS.map((length) => new Uint8Array(length)),
  ...LENGTHS.map((length) => new Array(length).fill(1)),
  ...LENGTHS.map((length) => Object.fromEntries(Array.from({ length }, (_, at) => [`k${at}`, at]))),
];
const key = fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "toString", "toJSON", "digest", "ä", "k".repeat(40)));
const leaf = fc.oneof(
  fc.boolean(),
  fc.constantFrom(...EDGES),
  fc.integer(),
  fc.double(),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ minLength: 20, maxLength: 400 }),
  fc.uint8Array({ maxLength: 400 }),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "medium" },
    leaf,
    fc.array(tie("tree"), { maxLength: 20 }),
    fc.dictionary(key, tie("tree"), { maxKeys: 20, noNullPrototype: true }),
    fc.dictionary(key, tie("tree"), { maxKeys: 5 }),
  ),
}));

function outcome(run: () => unknown): unknown {
  try {
    return { value: run() };
  } catch {
    return "it throws";
  }
}

test("G9: the shorter way gives the bytes of the library, and reads what the library reads", () => {
  const check = (value: unknown): void => {
    const written = outcome(() => [...library.packr.pack(value)]);
    expect(outcome(() => [...encode(value)])).toEqual(written);
    if (typeof written === "string") return;
    const bytes = library.packr.pack(value);
    for (const each of [bytes, Uint8Array.from(bytes)]) expect(isDeepStrictEqual(decode(each), library.unpackr.unpack(each))).toBe(true);
  };
  for (const value of EDGES) check([value]);
  fc.assert(fc.property(tree, check), { numRuns: 300 });
});

test("bytes that are altered, cut short, or no msgpack at all are refused as the library refuses them", () => {
  const bad = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.tuple(tree, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.boolean()).map(([value, place, byte, cut]) => {
      const bytes = Buffer.from(outcome(() => library.packr.pack(value)) === "it throws" ? [] : library.packr.pack(value));
      if (cut) return bytes.subarray(0, place % (bytes.byteLength + 1));
      if (bytes.byteLength > 0) bytes[place % bytes.byteLength] = byte;
      return bytes;
    }),
  );
  fc.assert(
    fc.property(bad, (bytes) => {
      const [ours, theirs] = [decode, (each: Uint8Array) => library.unpackr.unpack(each)].map((read) => outcome(() => read(bytes)));
      expect(isDeepStrictEqual(ours, theirs)).toBe(true);
    }),
    { numRuns: 600 },
  );
});
