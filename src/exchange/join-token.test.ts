import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { PeerId } from "../core/peer.ts";
import { seededRandom } from "../core/random.ts";
import { drawToken, fingerprintOf, hashSecret, makeToken, parseToken, sameBytes } from "./join-token.ts";
import { signMembership, verifyMembership } from "./membership-certificate.ts";

const fingerprint = fingerprintOf(Uint8Array.of(1, 2, 3));

test("a token says what was put into it, in one word", () => {
  const token = drawToken(seededRandom(7), fingerprint);
  const text = makeToken(token);
  expect(text).toMatch(/^rst1\.[A-Za-z0-9_-]+$/);
  const parsed = parseToken(` ${text}\n`);
  expect(parsed.id).toBe(token.id);
  expect(sameBytes(parsed.secret, token.secret) && sameBytes(parsed.fingerprint, fingerprint)).toBe(true);
  expect(hashSecret(token.secret)).toHaveLength(32);
});

test("a token that was cut, lengthened or changed anywhere is recognised, and never shown in the error", () => {
  const text = makeToken(drawToken(seededRandom(7), fingerprint));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: text.length - 2 }), fc.constantFrom("cut", "change", "add"), (at, how) => {
      const other = text[at] === "A" ? "B" : "A";
      const spoilt = how === "cut" ? text.slice(0, at) : how === "add" ? `${text}A${at}` : text.slice(0, at) + other + text.slice(at + 1);
      expect(() => parseToken(spoilt)).toThrow(/join token/);
      if (spoilt.length > 8) expect(() => parseToken(spoilt)).not.toThrow(spoilt);
    }),
  );
});

test("a membership certificate holds for its cluster, peer and number alone, and under its key", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const spki = publicKey.export({ type: "spki", format: "der" });
  const membership = { clusterId: "c", peerId: "p" as PeerId, raftId: 3 };
  const certificate = signMembership(privateKey, membership);
  expect(verifyMembership(spki, membership, certificate)).toBe(true);
  expect(verifyMembership(spki, { ...membership, clusterId: "d" }, certificate)).toBe(false);
  expect(verifyMembership(spki, { ...membership, peerId: "q" as PeerId }, certificate)).toBe(false);
  expect(verifyMembership(spki, { ...membership, raftId: 4 }, certificate)).toBe(false);
  const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });
  expect(verifyMembership(other, membership, certificate)).toBe(false);
  expect(verifyMembership(Uint8Array.of(1), membership, certificate)).toBe(false);
});
