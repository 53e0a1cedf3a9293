import { createHash, timingSafeEqual } from "node:crypto";
import type { Random } from "../core/random.ts";

/** What an operator carries from the cluster to a newcomer: it proves each to the other. */
export interface JoinToken {
  /** Names the token's record; no secret. */
  readonly id: string;
  /** 32 bytes; the cluster stores their SHA-256 alone. */
  readonly secret: Uint8Array;
  /** SHA-256 of the cluster's public key (SPKI, DER): who shows another key is not the cluster. */
  readonly fingerprint: Uint8Array;
}

const PREFIX = "rst1.";
const SHAPE = /^rst1\.[A-Za-z0-9_-]+$/;
const ID_SIZE_BYTES = 8;
const SECRET_SIZE_BYTES = 32;
const CHECKSUM_SIZE_BYTES = 4;
const SIZE_BYTES = ID_SIZE_BYTES + SECRET_SIZE_BYTES + 32 + CHECKSUM_SIZE_BYTES;

export function drawToken(random: Random, fingerprint: Uint8Array): JoinToken {
  return { id: Buffer.from(random.bytes(ID_SIZE_BYTES)).toString("hex"), secret: random.bytes(SECRET_SIZE_BYTES), fingerprint };
}

/** The token as text: one word that survives a shell, with a checksum so that a cut one is told from a wrong one. */
export function makeToken(token: JoinToken): string {
  const body = Buffer.concat([Buffer.from(token.id, "hex"), token.secret, token.fingerprint]);
  return PREFIX + Buffer.concat([body, checksum(body)]).toString("base64url");
}

/** @throws Error with one line that says what is wrong; the text itself is never in it */
export function parseToken(text: string): JoinToken {
  const trimmed = text.trim();
  if (!SHAPE.test(trimmed)) throw new Error(`this is no join token: one begins with ${PREFIX} and is made by "roadstead token create"`);
  const bytes = Buffer.from(trimmed.slice(PREFIX.length), "base64url");
  const body = bytes.subarray(0, SIZE_BYTES - CHECKSUM_SIZE_BYTES);
  if (bytes.byteLength !== SIZE_BYTES || !checksum(body).equals(bytes.subarray(body.byteLength))) {
    throw new Error("the join token is damaged or not complete: copy all of it, or make a new one");
  }
  return {
    id: body.toString("hex", 0, ID_SIZE_BYTES),
    secret: Uint8Array.from(body.subarray(ID_SIZE_BYTES, ID_SIZE_BYTES + SECRET_SIZE_BYTES)),
    fingerprint: Uint8Array.from(body.subarray(ID_SIZE_BYTES + SECRET_SIZE_BYTES)),
  };
}

/** What the cluster stores of a token's secret. */
export function hashSecret(secret: Uint8Array): Uint8Array {
  return createHash("sha256").update(secret).digest();
}

/** SHA-256 of a public key in SPKI DER. */
export function fingerprintOf(publicKey: Uint8Array): Uint8Array {
  return createHash("sha256").update(publicKey).digest();
}

/** In constant time for inputs of one length. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b);
}

function checksum(body: Uint8Array): Buffer {
  return createHash("sha256").update(PREFIX).update(body).digest().subarray(0, CHECKSUM_SIZE_BYTES);
}
