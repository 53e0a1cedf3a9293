import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { BlobFacts, Expected } from "./blob-store.ts";

/** The refusals that every adapter words alike. */
export function unknownBlob(digest: Digest): OciError {
  return new OciError("BLOB_UNKNOWN", "this node holds no copy of the blob", { digest });
}

export function unknownUpload(id: string): OciError {
  return new OciError("BLOB_UPLOAD_UNKNOWN", "no such upload: it was finished, cancelled or has expired; begin again with POST", { id });
}

/** `offset`: bytes held, where the next chunk has to start. */
export function outOfOrder(offset: number, why: string): OciError {
  return new OciError("RANGE_INVALID", why, { offset });
}

export function wrongSize(expected: number, actual: number, offset: number): OciError {
  const kind = actual < expected ? "ended early" : "is longer than announced";
  return new OciError("SIZE_INVALID", `the body ${kind}: ${expected} bytes were announced, ${actual} came`, { expected, actual, offset });
}

export function wrongDigest(expected: Digest, actual: Digest): OciError {
  return new OciError("DIGEST_INVALID", "the content does not match the digest; nothing was kept", { digest: expected, actual });
}

/** @throws OciError SIZE_INVALID, DIGEST_INVALID where what came is not what was expected */
export function assertExpected(expected: Expected, facts: BlobFacts): void {
  if (facts.sizeBytes !== expected.sizeBytes) throw wrongSize(expected.sizeBytes, facts.sizeBytes, 0);
  if (facts.digest !== expected.digest) throw wrongDigest(expected.digest, facts.digest);
  if (expected.root !== undefined && facts.root !== expected.root) {
    const detail = { digest: expected.digest, root: expected.root, actualRoot: facts.root };
    throw new OciError(
      "DIGEST_INVALID",
      "the digest matches but the piece root of the record does not: the record or this node is wrong",
      detail,
    );
  }
}
