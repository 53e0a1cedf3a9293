import type { Digest } from "../../core/digest.ts";
import { digestOf } from "../../core/digest.ts";
import { systemCode } from "../../core/errors.ts";
import { PIECE_SIZE_BYTES, type PieceHash } from "../../core/pieces.ts";
import type { ReadRange } from "../blob-store.ts";
import { CorruptBlobError } from "../corrupt-blob.ts";
import { unknownBlob } from "../refusals.ts";
import { type Copies, isSameContent, SMALL_SIZE_BYTES } from "./copies.ts";
import { storageFailure } from "./failures.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";

const MIB = 1024 * 1024;

/** What a reader needs of the store. */
export interface ReadDoor {
  readonly fs: FileSystem;
  readonly copies: Copies;
  /** The size, and where the bytes lie; undefined where there is no copy. */
  locate(digest: Digest): Promise<{ readonly sizeBytes: number; readonly path: string } | undefined>;
}

/** Streams that run, for the size of their buffers: three each, so few get large ones and many get small ones (4 to 6 MiB in all, up to 32 of them). */
let running = 0;

function bufferSize(): number {
  if (running <= 2) return MIB;
  return running <= 12 ? MIB / 8 : MIB / 16;
}

/** One chunk that is in memory already, without the turns of a generator. */
export function oneChunk(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      let given = false;
      return {
        async next() {
          if (given) return { done: true, value: undefined };
          given = true;
          return { done: false, value: bytes };
        },
      };
    },
  };
}

/** Bytes `[start, end)` of a copy on the disk; no byte is handed on before its piece is verified in the state that the file is in. */
export async function* readBlob(door: ReadDoor, digest: Digest, range: ReadRange, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted();
  const found = await openCopy(door, digest);
  if (found === undefined) throw unknownBlob(digest);
  const { file, sizeBytes } = found;
  if (sizeBytes <= SMALL_SIZE_BYTES) {
    const bytes = await readSmall(door, digest, file, sizeBytes);
    signal.throwIfAborted();
    if (range.start < Math.min(range.end, bytes.byteLength)) yield bytes.subarray(range.start, range.end);
    return;
  }
  yield* readLarge(door, digest, file, { ...range, end: Math.min(range.end, sizeBytes) }, signal);
}

/** A pin may become the settled blob between the look and the opening: it is looked for again then. @returns undefined where there is no copy */
export async function openCopy(
  door: ReadDoor,
  digest: Digest,
): Promise<{ readonly file: OpenFile; readonly sizeBytes: number; readonly path: string } | undefined> {
  const gone = new Set<string>();
  for (;;) {
    const found = await door.locate(digest);
    if (found === undefined) return undefined;
    try {
      return { ...found, file: await door.fs.open(found.path, "r") };
    } catch (error) {
      if (systemCode(error) !== "ENOENT") throw storageFailure(error, "opening a blob");
    }
    if (gone.has(found.path)) {
      door.copies.forget(digest);
      return undefined;
    }
    gone.add(found.path);
  }
}

/** Whole and hashed, then kept in memory. Closes the file. */
async function readSmall(door: ReadDoor, digest: Digest, file: OpenFile, sizeBytes: number): Promise<Uint8Array> {
  // One byte more than the blob has: a file that has grown shows it.
  const into = Buffer.allocUnsafeSlow(sizeBytes + 1);
  let count = 0;
  try {
    count = await file.read(into, 0);
  } catch (error) {
    throw readFailure(error, digest, 0);
  } finally {
    await file.close();
  }
  const bytes = into.subarray(0, count);
  if (digestOf(bytes, digest.startsWith("sha512") ? "sha512" : "sha256") !== digest)
    throw new CorruptBlobError(digest, 0, "its bytes have another digest");
  door.copies.small.set(digest, bytes);
  return bytes;
}

/** A block that the disk cannot read is a damaged copy: it is healed like one with wrong bytes. */
function readFailure(error: unknown, digest: Digest, piece: number): unknown {
  return systemCode(error) === "EIO"
    ? new CorruptBlobError(digest, piece, `piece ${piece} cannot be read`)
    : storageFailure(error, "reading a blob");
}

async function* readLarge(
  door: ReadDoor,
  digest: Digest,
  file: OpenFile,
  range: ReadRange,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  running += 1;
  const background = new Set<Promise<unknown>>();
  const inBackground = <T>(work: Promise<T>): Promise<T> => {
    const kept: Promise<unknown> = work.catch(() => undefined).finally(() => background.delete(kept));
    background.add(kept);
    return work;
  };
  try {
    const stat = await file.stat();
    const copy = door.copies.verification(digest, stat);
    if (stat.sizeBytes !== copy.sizeBytes) {
      throw new CorruptBlobError(digest, undefined, `the file has ${stat.sizeBytes} bytes, not ${copy.sizeBytes}`);
    }
    // Asked for when it is needed, not at the start: a link or unlink beside this reader makes another one begin the copy's verification anew.
    let list: Promise<readonly PieceHash[]> | undefined;
    const verify = async (piece: number): Promise<void> => {
      list ??= door.copies.pieces(digest, file, copy.sizeBytes, signal);
      await door.copies.verify(digest, copy, file, await list, piece);
    };
    const verified = (position: number): Promise<void> | undefined => {
      if (copy.verified === "all" || position >= range.end) return undefined;
      return inBackground(verify(Math.floor(position / PIECE_SIZE_BYTES)));
    };
    const ring = new Ring(file, range);
    let ahead = range.start < range.end ? inBackground(ring.read(range.start)) : undefined;
    for (let position = range.start; ahead !== undefined; ) {
      await verified(position);
      verified(position - (position % PIECE_SIZE_BYTES) + PIECE_SIZE_BYTES); // of the next piece, while this one goes out
      const piece = Math.floor(position / PIECE_SIZE_BYTES);
      const chunk = await ahead.catch((error: unknown) => {
        throw readFailure(error, digest, piece);
      });
      position += chunk.byteLength;
      if (chunk.byteLength === 0) throw new CorruptBlobError(digest, piece, "the file is cut off");
      ahead = position < range.end ? inBackground(ring.read(position)) : undefined;
      // A write between the verification and the reading has changed the file's state: seen before the last chunk is handed on.
      if (ahead === undefined && !isSameContent(stat, await file.stat()))
        throw new CorruptBlobError(digest, undefined, "it changed while it was read");
      signal.throwIfAborted();
      yield chunk;
      signal.throwIfAborted();
    }
  } finally {
    running -= 1;
    await Promise.all(background); // they use the descriptor: a closed one may already be another file's
    await file.close();
  }
}

/**
 * Three buffers in turn: one is with the consumer, one he may still be flushing, one is being filled. They are not pooled, since the consumer
 * holds the last two after the end; one who reads range after range, and knows when his bytes have left, brings his own.
 */
class Ring {
  readonly #file: OpenFile;
  readonly #range: ReadRange;
  readonly #buffers: Uint8Array<ArrayBuffer>[] = [];
  #turn = 0;

  constructor(file: OpenFile, range: ReadRange) {
    this.#file = file;
    this.#range = range;
  }

  /** A chunk that ends at a piece's end at the latest. */
  async read(position: number): Promise<Uint8Array> {
    const end = Math.min(this.#range.end, position - (position % PIECE_SIZE_BYTES) + PIECE_SIZE_BYTES, position + bufferSize());
    const into = (this.#range.memory ?? this.#own)(end - position);
    return into.subarray(0, await this.#file.read(into, position));
  }

  /** Its size follows that of the streams that run: one that began alone gives its large buffers up, and at once, once others have come. */
  readonly #own = (sizeBytes: number): Uint8Array => {
    const turn = this.#turn;
    this.#turn = (turn + 1) % 3;
    const wanted = Math.min(bufferSize(), this.#range.end - this.#range.start);
    let buffer = this.#buffers[turn];
    if (buffer?.byteLength !== wanted) {
      buffer?.buffer.transfer(0);
      buffer = new Uint8Array(Buffer.allocUnsafeSlow(wanted).buffer);
      this.#buffers[turn] = buffer;
    }
    return buffer.subarray(0, sizeBytes);
  };
}
