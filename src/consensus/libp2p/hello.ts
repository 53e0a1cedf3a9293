import { createHash } from "node:crypto";
import { decode, encode } from "../../core/codec.ts";
import type { RaftId } from "../../core/peer.ts";
import { STARTS_REMEMBERED } from "../../metadata/records.ts";
import type { Boot, BootRefusal } from "../transport.ts";

/** What stands at the head of each stream. */
export interface Hello {
  /** Of the cluster's id. */
  readonly cluster: string;
  readonly from: RaftId;
  readonly to: RaftId;
  readonly boot: Boot;
}

/** What the first frame of a stream may have: a hello is far below 4 KiB, with room for what a newer program adds. */
export const HELLO_BYTES_MAX = 64 * 1024;

const NONCE = /^[0-9a-f]{16}$/;
const REASONS: readonly BootRefusal["reason"][] = ["passed", "copied", "behind", "forked"];

/** Short, so that a stream can begin with it; a mistake among clusters is what it guards against, not malice. */
export function clusterHash(clusterId: string): string {
  return createHash("sha256").update(clusterId).digest("hex").slice(0, 16);
}

export function encodeHello({ cluster, from, to, boot }: Hello): Uint8Array {
  return encode([cluster, from, to, boot.incarnation, boot.nonce, boot.term, boot.lastIndex, boot.earlier]);
}

/** @throws TypeError */
export function decodeHello(bytes: Uint8Array): Hello {
  const fields = decode(bytes);
  if (!Array.isArray(fields)) throw new TypeError("A stream does not begin with a hello.");
  // Of an older program there are no earlier starts: then nothing can be said by them.
  const [cluster, from, to, incarnation, nonce, term, lastIndex, earlier = []] = fields as unknown[];
  if (typeof cluster !== "string" || !isNonce(nonce) || !isHistory(earlier)) throw new TypeError("A hello has a name that is none.");
  if (!isNatural(from) || !isNatural(to) || !isNatural(incarnation) || !isNatural(term) || !isNatural(lastIndex)) {
    throw new TypeError("A hello has a number that is none.");
  }
  return { cluster, from, to, boot: { incarnation, nonce, earlier, term, lastIndex } };
}

export function encodeRefusal({ reason, incarnation, nonce }: BootRefusal): Uint8Array {
  return encode([REASONS.indexOf(reason), incarnation, nonce]);
}

/** @throws TypeError */
export function decodeRefusal(bytes: Uint8Array): BootRefusal {
  const fields = decode(bytes);
  const [at, incarnation, nonce] = Array.isArray(fields) ? (fields as unknown[]) : [];
  const reason = isNatural(at) ? REASONS[at] : undefined;
  if (reason === undefined || !isNatural(incarnation) || typeof nonce !== "string") throw new TypeError("A refusal is none.");
  return { reason, incarnation, nonce };
}

function isNonce(value: unknown): value is string {
  return typeof value === "string" && NONCE.test(value);
}

function isHistory(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= STARTS_REMEMBERED && value.every(isNonce);
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
