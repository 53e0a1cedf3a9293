import type { Digest } from "../core/digest.ts";
import { OciError, systemCode } from "../core/errors.ts";

/**
 * Bytes on this node that are not what they were when they were verified (G6). The read ends before its last piece is handed on;
 * the caller quarantines the copy and reads from another node.
 */
export class CorruptBlobError extends Error {
  override readonly name = "CorruptBlobError";
  readonly digest: Digest;
  /** The first piece that is wrong; undefined where only the whole is known to be. */
  readonly piece: number | undefined;

  constructor(digest: Digest, piece: number | undefined, what: string) {
    super(
      `the copy of ${digest} on this node is damaged: ${what}; it is not served, and is to be quarantined and healed from another node`,
    );
    this.digest = digest;
    this.piece = piece;
  }
}

/** Whether a read has failed for the copy's sake: its bytes are wrong, or the disk cannot read them (EIO). */
export function isBadCopy(error: unknown): boolean {
  if (error instanceof CorruptBlobError || systemCode(error) === "EIO") return true;
  return error instanceof OciError && error.detail.cause === "EIO";
}
