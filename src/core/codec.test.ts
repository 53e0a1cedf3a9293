import fc from "fast-check";
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
