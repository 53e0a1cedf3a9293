import { PIECE_SIZE_BYTES } from "../core/pieces.ts";

/** Free ones that are kept: what a reader and its read-ahead turn over. */
const FREE_MAX = 4;

/**
 * The buffers of one fetch, used again and again: V8 counts their memory but frees it in its collections only, so a new one a piece costs a major
 * collection every few pieces. They are shared, so that another thread may hash them. Memory is given back only by who knows that nobody reads or writes it any more; what is not given back is the collector's.
 */
export class PieceMemory {
  readonly #free: Uint8Array[] = [];
  readonly #lent = new WeakSet<Uint8Array>();

  readonly take = (sizeBytes: number): Uint8Array => {
    if (sizeBytes !== PIECE_SIZE_BYTES) return Buffer.allocUnsafeSlow(sizeBytes); // the last piece, once a blob
    const buffer = this.#free.pop() ?? new Uint8Array(new SharedArrayBuffer(sizeBytes));
    this.#lent.add(buffer);
    return buffer;
  };

  /** Takes back what `take` has lent, once; anything else is left to its owner. */
  give(buffer: Uint8Array): void {
    if (this.#lent.delete(buffer) && this.#free.length < FREE_MAX) this.#free.push(buffer);
  }
}
