const EMPTY = -1;
const FIRST_SLOTS = 64; // a power of two, as every later size is

/**
 * The configurations that a search has seen: which operations are placed (a bitset) and the number of the state that they lead to.
 * Flat arrays, since a hard history has millions of them.
 */
export class Configurations {
  readonly #words: number;
  readonly #record: number;
  #slots = new Int32Array(FIRST_SLOTS).fill(EMPTY);
  #records: Uint32Array;
  #hashes = new Int32Array(FIRST_SLOTS / 2);
  #size = 0;

  /** @param words length of each bitset */
  constructor(words: number) {
    this.#words = words;
    this.#record = words + 1;
    this.#records = new Uint32Array((FIRST_SLOTS / 2) * this.#record);
  }

  get size(): number {
    return this.#size;
  }

  /**
   * @param hash of the bitset alone, the same for the same bits
   * @returns false where the configuration is there already
   */
  add(placed: Uint32Array, hash: number, state: number): boolean {
    const mixed = mix(hash ^ Math.imul(state + 1, 0x9e3779b1));
    const mask = this.#slots.length - 1;
    let slot = mixed & mask;
    for (let found = this.#slots[slot]!; found !== EMPTY; found = this.#slots[slot]!) {
      if (this.#hashes[found] === mixed && this.#isAt(found, placed, state)) return false;
      slot = (slot + 1) & mask;
    }
    if (this.#size === this.#hashes.length) {
      this.#grow();
      slot = this.#freeSlot(mixed);
    }
    const offset = this.#size * this.#record;
    this.#records.set(placed, offset);
    this.#records[offset + this.#words] = state;
    this.#hashes[this.#size] = mixed;
    this.#slots[slot] = this.#size;
    this.#size += 1;
    return true;
  }

  #isAt(index: number, placed: Uint32Array, state: number): boolean {
    const offset = index * this.#record;
    if (this.#records[offset + this.#words] !== state) return false;
    for (let word = 0; word < this.#words; word += 1) if (this.#records[offset + word] !== placed[word]) return false;
    return true;
  }

  #freeSlot(mixed: number): number {
    const mask = this.#slots.length - 1;
    let slot = mixed & mask;
    while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & mask;
    return slot;
  }

  /** Slots stay at least half empty, which keeps probes short. */
  #grow(): void {
    const records = new Uint32Array(this.#records.length * 2);
    records.set(this.#records);
    this.#records = records;
    const hashes = new Int32Array(this.#hashes.length * 2);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    this.#slots = new Int32Array(this.#slots.length * 2).fill(EMPTY);
    for (let index = 0; index < this.#size; index += 1) this.#slots[this.#freeSlot(hashes[index]!)] = index;
  }
}

/** Spreads every bit of a 32-bit number over all of them (the finalizer of MurmurHash3). */
export function mix(value: number): number {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
