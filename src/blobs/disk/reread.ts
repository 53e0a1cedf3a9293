import type { Digest } from "../../core/digest.ts";
import { PIECE_SIZE_BYTES, pieceRoot } from "../../core/pieces.ts";
import type { BlobFacts } from "../blob-store.ts";
import { CorruptBlobError } from "../corrupt-blob.ts";
import { unknownBlob } from "../refusals.ts";
import { openCopy, type ReadDoor } from "./blob-reader.ts";
import { storageFailure } from "./failures.ts";

/** Each piece of a copy from the disk, in order, also where it was verified before: `BlobStore.reread`. */
export async function rereadCopy(
  door: ReadDoor,
  digest: Digest,
  onPiece: (sizeBytes: number) => Promise<void>,
  signal: AbortSignal,
): Promise<BlobFacts> {
  signal.throwIfAborted();
  const found = await openCopy(door, digest);
  if (found === undefined) throw unknownBlob(digest);
  const { file, sizeBytes } = found;
  try {
    const stat = await file.stat();
    if (stat.sizeBytes !== sizeBytes) throw new CorruptBlobError(digest, undefined, `it has ${stat.sizeBytes} bytes, not ${sizeBytes}`);
    const pieces = await door.copies.pieces(digest, file, sizeBytes, signal);
    const anew = { sizeBytes, settled: true, stamp: stat, verified: new Set<number>() };
    for (let piece = 0; piece < pieces.length; piece += 1) {
      signal.throwIfAborted();
      await door.copies.verify(digest, anew, file, pieces, piece);
      await onPiece(Math.min(PIECE_SIZE_BYTES, sizeBytes - piece * PIECE_SIZE_BYTES));
    }
    return { digest, sizeBytes, root: pieceRoot(pieces), pieces };
  } catch (error) {
    throw storageFailure(error, "reading a blob again");
  } finally {
    await file.close();
  }
}
