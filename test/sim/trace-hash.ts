/** Folds what happens into 64 bits: two runs with one hash have, for all that matters, gone the same way. */
export class TraceHash {
  #low = 0x811c9dc5 | 0;
  #high = 0x01000193 | 0;

  add(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x01000193);
    this.#low ^= this.#low >>> 15;
    this.#high = Math.imul(this.#high ^ this.#low ^ Math.trunc(value / 2 ** 32), 0x85ebca6b);
    this.#high ^= this.#high >>> 13;
  }

  addText(text: string): void {
    for (let at = 0; at < text.length; at += 1) this.add(text.charCodeAt(at));
  }

  /** Sixteen hex digits. */
  toString(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
