import { expect, test } from "vitest";
import { decode, encode } from "../../core/codec.ts";
import { STARTS_REMEMBERED } from "../../metadata/records.ts";
import { clusterHash, decodeHello, decodeRefusal, encodeHello, encodeRefusal, type Hello } from "./hello.ts";

const nonce = (digit: string): string => digit.repeat(16);
const HELLO: Hello = {
  cluster: clusterHash("test"),
  from: 2,
  to: 1,
  boot: { incarnation: 3, nonce: nonce("c"), earlier: [nonce("b"), nonce("a")], term: 4, lastIndex: 9 },
};

test("a hello arrives as it was sent; that of an older program tells of no earlier starts, and an older one passes over them", () => {
  expect(decodeHello(encodeHello(HELLO))).toEqual(HELLO);
  const fields = decode(encodeHello(HELLO)) as unknown[];
  expect(fields.slice(0, 7)).toEqual([HELLO.cluster, 2, 1, 3, nonce("c"), 4, 9]);
  expect(decodeHello(encode(fields.slice(0, 7)))).toEqual({ ...HELLO, boot: { ...HELLO.boot, earlier: [] } });
});

test("a hello whose earlier starts are none is no hello", () => {
  const withEarlier = (earlier: unknown): Uint8Array => encode([...(decode(encodeHello(HELLO)) as unknown[]).slice(0, 7), earlier]);
  const most = Array.from({ length: STARTS_REMEMBERED }, () => nonce("d"));
  expect(decodeHello(withEarlier(most)).boot.earlier).toEqual(most);
  for (const bad of ["a", null, 7, [7], [nonce("x")], ["a"], [...most, nonce("d")]]) {
    expect(() => decodeHello(withEarlier(bad)), JSON.stringify(bad)).toThrow(TypeError);
  }
});

test("a refusal arrives as it was sent", () => {
  for (const reason of ["passed", "copied", "behind", "forked"] as const) {
    expect(decodeRefusal(encodeRefusal({ reason, incarnation: 3, nonce: nonce("c") }))).toEqual({
      reason,
      incarnation: 3,
      nonce: nonce("c"),
    });
  }
});
