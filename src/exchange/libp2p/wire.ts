import { type Digest, parseDigest } from "../../core/digest.ts";
import { type ErrorFacts, type OciCode, OciError } from "../../core/errors.ts";
import type { PieceHash } from "../../core/pieces.ts";

export const BLOB_PROTOCOL = "/roadstead/blob/1.0.0";
export const UPLOAD_PROTOCOL = "/roadstead/upload/1.0.0";

/** A request is small; an answer may carry a piece list, 32 bytes for each 4 MiB: this is enough for 2 TiB. */
export const REQUEST_SIZE_MAX = 64 * 1024;
export const ANSWER_SIZE_MAX = 16 * 1024 * 1024;

export type BlobRequest =
  | { readonly op: "get"; readonly digest: Digest; readonly start: number; readonly end: number; readonly list: boolean }
  | {
      readonly op: "put";
      readonly digest: Digest;
      readonly sizeBytes: number;
      readonly root: PieceHash | undefined;
      readonly commitId: string;
    };

const HASH_SIZE_BYTES = 32;
const ROOT = /^[0-9a-f]{64}$/;

/** @throws Error where a member sent what no version of the protocol has */
export function parseBlobRequest(value: unknown): BlobRequest {
  const fields = asFields(value);
  const digest = parseDigest(text(fields, "digest"));
  if (digest === undefined) throw new Error("the request names no digest");
  if (fields.op === "get") {
    const start = count(fields, "start");
    const end = count(fields, "end");
    if (end < start) throw new Error("the request's range ends before it starts");
    return { op: "get", digest, start, end, list: fields.list === true };
  }
  if (fields.op !== "put") throw new Error("the request is neither get nor put");
  return { op: "put", digest, sizeBytes: count(fields, "sizeBytes"), root: root(fields), commitId: text(fields, "commitId") };
}

export function asFields(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("the peer sent no map where one is due");
  return value as Record<string, unknown>;
}

export function text(fields: Readonly<Record<string, unknown>>, key: string): string {
  const value = fields[key];
  if (typeof value !== "string") throw new Error(`the peer sent no text as ${key}`);
  return value;
}

export function count(fields: Readonly<Record<string, unknown>>, key: string): number {
  const value = fields[key];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new Error(`the peer sent no count as ${key}`);
  return value;
}

export function bytesOf(fields: Readonly<Record<string, unknown>>, key: string): Uint8Array {
  const value = fields[key];
  if (!(value instanceof Uint8Array)) throw new Error(`the peer sent no bytes as ${key}`);
  return value;
}

export function root(fields: Readonly<Record<string, unknown>>): PieceHash | undefined {
  const value = fields.root;
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || !ROOT.test(value)) throw new Error("the peer sent no piece root as root");
  return value as PieceHash;
}

export function packList(pieces: readonly PieceHash[]): Uint8Array {
  return Buffer.from(pieces.join(""), "hex");
}

export function unpackList(bytes: Uint8Array): readonly PieceHash[] {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.byteLength / HASH_SIZE_BYTES) }, (_, index) =>
    hex.toString("hex", index * HASH_SIZE_BYTES, (index + 1) * HASH_SIZE_BYTES),
  ) as PieceHash[];
}

/** What of an error crosses: its code, text and facts. Of one that is no refusal only that there was one; the text stays in the log of its node. */
export function packError(error: unknown): Readonly<Record<string, unknown>> {
  if (error instanceof OciError) return { error: { code: error.code, message: error.message, detail: error.detail } };
  return { error: { code: "INTERNAL", message: "the peer failed to answer; its log says why", detail: {} } };
}

/** @throws OciError where the answer carries one */
export function throwIfError(answer: Readonly<Record<string, unknown>>): void {
  if (answer.error === undefined) return;
  const fields = asFields(answer.error);
  const facts: Record<string, string | number> = {};
  for (const [key, value] of Object.entries(asFields(fields.detail ?? {}))) {
    if (typeof value === "string" || typeof value === "number") facts[key] = value;
  }
  throw new OciError(text(fields, "code") as OciCode, text(fields, "message"), facts satisfies ErrorFacts);
}
