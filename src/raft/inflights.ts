import type { Index } from "./types.ts";

/** The window of appends that were sent to a peer and not acknowledged: a ring of (last index, bytes), oldest first. */
export class Inflights {
  readonly #sizeMax: number;
  readonly #bytesMax: number;
  #indexes: Index[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(sizeMax: number, bytesMax: number) {
    this.#sizeMax = sizeMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  /** The byte limit may be passed by the last message added. */
  get full(): boolean {
    return this.#count >= this.#sizeMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: Index, bytes: number): void {
    if (this.#count === this.#indexes.length) this.#grow();
    const at = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[at] = lastIndex;
    this.#sizes[at] = bytes;
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Frees what an acknowledgement of `index` covers. */
  freeThrough(index: Index): void {
    while (this.#count > 0 && (this.#indexes[this.#start] as Index) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number;
      this.#start = (this.#start + 1) % this.#indexes.length;
      this.#count -= 1;
    }
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  // Grown as needed, since most windows never fill.
  #grow(): void {
    const length = Math.max(8, this.#indexes.length * 2);
    const indexes: Index[] = new Array(length).fill(0);
    const sizes: number[] = new Array(length).fill(0);
    for (let i = 0; i < this.#count; i += 1) {
      const at = (this.#start + i) % this.#indexes.length;
      indexes[i] = this.#indexes[at] as Index;
      sizes[i] = this.#sizes[at] as number;
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
