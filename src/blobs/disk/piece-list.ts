import { createHash } from "node:crypto";
import type { PieceHash } from "../../core/pieces.ts";
import type { FileSystem } from "./file-system.ts";

const HASH_SIZE_BYTES = 32;

/**
 * Piece lists beside the blobs: 32 bytes a piece, and the root (the SHA-256 of all before it) as the last 32. So a list that was torn or changed
 * shows it by itself, and is made anew from the bytes: it is not worth an fsync.
 */
export async function writePieceList(fs: FileSystem, path: string, pieces: readonly PieceHash[]): Promise<void> {
  const list = Buffer.from(pieces.join(""), "hex");
  const file = await fs.open(path, "w");
  try {
    await file.write(Buffer.concat([list, createHash("sha256").update(list).digest()]), 0);
  } finally {
    await file.close();
  }
}

/** Undefined where there is none, or none of `count` pieces that is whole. */
export async function readPieceList(fs: FileSystem, path: string, count: number): Promise<readonly PieceHash[] | undefined> {
  const bytes = Buffer.alloc((count + 1) * HASH_SIZE_BYTES + 1);
  let length = 0;
  try {
    const file = await fs.open(path, "r");
    try {
      length = await file.read(bytes, 0);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
  if (length !== bytes.byteLength - 1) return undefined;
  const list = bytes.subarray(0, count * HASH_SIZE_BYTES);
  if (!createHash("sha256").update(list).digest().equals(bytes.subarray(list.byteLength, length))) return undefined;
  const hex = list.toString("hex");
  return Array.from({ length: count }, (_, piece) => hex.slice(piece * 64, (piece + 1) * 64) as PieceHash);
}
