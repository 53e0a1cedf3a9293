import { type DigestAlgorithm, digestOf } from "../core/digest.ts";
import { hashPiece, PIECE_SIZE_BYTES, pieceCount, pieceRoot } from "../core/pieces.ts";
import type { BlobFacts } from "./blob-store.ts";

/** Facts of bytes that are in memory, by one full read of them. */
export function factsOf(bytes: Uint8Array, algorithm: DigestAlgorithm): BlobFacts {
  const pieces = Array.from({ length: pieceCount(bytes.byteLength) }, (_, piece) =>
    hashPiece(bytes.subarray(piece * PIECE_SIZE_BYTES, (piece + 1) * PIECE_SIZE_BYTES)),
  );
  return { digest: digestOf(bytes, algorithm), sizeBytes: bytes.byteLength, root: pieceRoot(pieces), pieces };
}
