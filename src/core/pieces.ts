import { createHash } from "node:crypto";

/** A blob over one piece has a piece list: the SHA-256 of each piece, in order. */
export const PIECE_SIZE_BYTES = 4 * 1024 * 1024;

/** SHA-256 of a piece, or of the concatenation of them: 32 bytes as lowercase hex. */
export type PieceHash = string & { readonly __brand: "PieceHash" };

export function pieceCount(sizeBytes: number): number {
  return Math.max(1, Math.ceil(sizeBytes / PIECE_SIZE_BYTES));
}

export function hashPiece(bytes: Uint8Array): PieceHash {
  return createHash("sha256").update(bytes).digest("hex") as PieceHash;
}

/** The SHA-256 of the concatenation of the pieces' hashes (32 bytes each). */
export function pieceRoot(pieces: readonly PieceHash[]): PieceHash {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(Buffer.from(piece, "hex"));
  return hash.digest("hex") as PieceHash;
}
