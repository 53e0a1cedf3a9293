const NONE = -1;
const FIRST_SLOTS = 64; // a power of two, as every later size is

/**
 * The configurations that a search has come to: which answered operations are placed, which unanswered ones, and the number of the state that
 * they lead to. One that has used up more unanswered operations than another, alike in all else, can go nowhere that the other cannot:
 * it counts as known. Flat arrays, since a hard history has millions of configurations.
 */
export class Configurations {
  readonly #answeredWords: number;
  readonly #words: number;
  /** A record: the words of both bitsets, then the state. */
  readonly #recordWords: number;
  #records: Uint32Array;
  #hashes = new Int32Array(FIRST_SLOTS / 2);
  /** From each record to the one before it that differs in the unanswered operations alone. */
  #older = new Int32Array(FIRST_SLOTS / 2);
  /** Open addressing: the newest record of each family of such records. */
  #slots = new Int32Array(FIRST_SLOTS).fill(NONE);
  #size = 0;

  /** @param answeredWords words of the bitset that hold answered operations; unanswered ones have the `pendingWords` after them */
  constructor(answeredWords: number, pendingWords: number) {
    this.#answeredWords = answeredWords;
    this.#words = answeredWords + pendingWords;
    this.#recordWords = this.#words + 1;
    this.#records = new Uint32Array((FIRST_SLOTS / 2) * this.#recordWords);
  }

  get size(): number {
    return this.#size;
  }

  /**
   * @param hash of the answered operations among `placed`
   * @returns false where the configuration is known
   */
  add(placed: Uint32Array, hash: number, state: number): boolean {
    const mixed = mix(hash ^ Math.imul(state + 1, 0x9e3779b1));
    if (this.#size === this.#hashes.length) this.#grow();
    const mask = this.#slots.length - 1;
    let slot = mixed & mask;
    let newest = this.#slots[slot]!;
    while (newest !== NONE && !(this.#hashes[newest] === mixed && this.#isAkin(newest, placed, state))) {
      slot = (slot + 1) & mask;
      newest = this.#slots[slot]!;
    }
    for (let record = newest; record !== NONE; record = this.#older[record]!) if (this.#usesNoMore(record, placed)) return false;
    const offset = this.#size * this.#recordWords;
    this.#records.set(placed, offset);
    this.#records[offset + this.#words] = state;
    this.#hashes[this.#size] = mixed;
    this.#older[this.#size] = newest;
    this.#slots[slot] = this.#size;
    this.#size += 1;
    return true;
  }

  #isAkin(record: number, placed: Uint32Array, state: number): boolean {
    const offset = record * this.#recordWords;
    if (this.#records[offset + this.#words] !== state) return false;
    for (let word = 0; word < this.#answeredWords; word += 1) if (this.#records[offset + word] !== placed[word]) return false;
    return true;
  }

  #usesNoMore(record: number, placed: Uint32Array): boolean {
    const offset = record * this.#recordWords;
    for (let word = this.#answeredWords; word < this.#words; word += 1) {
      if ((this.#records[offset + word]! & ~placed[word]!) !== 0) return false;
    }
    return true;
  }

  /** Slots stay at least half empty, which keeps probes short. */
  #grow(): void {
    this.#records = doubled(this.#records, new Uint32Array(this.#records.length * 2));
    this.#hashes = doubled(this.#hashes, new Int32Array(this.#hashes.length * 2));
    this.#older = doubled(this.#older, new Int32Array(this.#older.length * 2));
    const families = this.#slots.filter((record) => record !== NONE);
    this.#slots = new Int32Array(this.#slots.length * 2).fill(NONE);
    const mask = this.#slots.length - 1;
    for (const newest of families) {
      let slot = this.#hashes[newest]! & mask;
      while (this.#slots[slot] !== NONE) slot = (slot + 1) & mask;
      this.#slots[slot] = newest;
    }
  }
}

function doubled<T extends Int32Array | Uint32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Spreads every bit of a 32-bit number over all of them (the finalizer of MurmurHash3). */
export function mix(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
