import { expect, test } from "vitest";
import { algorithmOf, digestOf, hexOf, parseDigest } from "./digest.ts";

const SHA256 = `sha256:${"0a".repeat(32)}`;
const SHA512 = `sha512:${"0a".repeat(64)}`;

test("a digest is sha256 or sha512 with its exact number of lowercase hex characters", () => {
  expect(parseDigest(SHA256)).toBe(SHA256);
  expect(parseDigest(SHA512)).toBe(SHA512);
  for (const bad of [
    "",
    "sha256:",
    `${SHA256}0`,
    SHA256.slice(0, -1),
    SHA256.toUpperCase(),
    `md5:${"0a".repeat(16)}`,
    `sha256:${"0a".repeat(64)}`,
    ` ${SHA256}`,
    `${SHA256}\n`,
  ]) {
    expect(parseDigest(bad), JSON.stringify(bad)).toBeUndefined();
  }
});

test("the digest of bytes carries its algorithm and hex", () => {
  const digest = digestOf(new TextEncoder().encode("abc"));
  expect(digest).toBe("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(algorithmOf(digest)).toBe("sha256");
  expect(hexOf(digest)).toHaveLength(64);
  expect(algorithmOf(digestOf(new Uint8Array(), "sha512"))).toBe("sha512");
});
