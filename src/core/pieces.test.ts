import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { hashPiece, PIECE_SIZE_BYTES, pieceCount, pieceRoot } from "./pieces.ts";

test("the piece root is the SHA-256 of the concatenated piece hashes", () => {
  const one = hashPiece(Uint8Array.of(1));
  const two = hashPiece(Uint8Array.of(2));
  const expected = createHash("sha256")
    .update(Buffer.from(one + two, "hex"))
    .digest("hex");
  expect(pieceRoot([one, two])).toBe(expected);
  expect(pieceRoot([two, one])).not.toBe(expected);
});

test("a blob has at least one piece, and one more past each 4 MiB", () => {
  expect([0, 1, PIECE_SIZE_BYTES, PIECE_SIZE_BYTES + 1, 3 * PIECE_SIZE_BYTES].map(pieceCount)).toEqual([1, 1, 1, 2, 3]);
});
