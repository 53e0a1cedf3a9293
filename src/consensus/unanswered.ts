/** What a proposer knows a command by. */
interface Named {
  readonly session: number;
  readonly sequence: number;
}

/**
 * Proposals on their way, by session and sequence. Those of the current session have sequences one after the other, so they lie in a ring. A map will not do where
 * thousands a second come and go: V8 lays it out anew each few hundred and links each layout to the next, so once one has grown old, it keeps all later ones and all
 * that was in them until a full collection. That was a tenth of what a leader allocated, and made its young collections ten times as long.
 */
export class Unanswered<T extends Named> {
  readonly #ring: (T | undefined)[];
  /** Those without a session, and of sessions that have ended. */
  readonly #others = new Map<string, T>();
  #session: number | undefined;
  /** Nothing is in the ring below it. */
  #low = 0;
  /** One above the highest that has been in the ring. */
  #end = 0;
  #inRing = 0;

  /** @param window of the current session, no two are further apart */
  constructor(window: number) {
    this.#ring = new Array<T | undefined>(window).fill(undefined);
  }

  get size(): number {
    return this.#inRing + this.#others.size;
  }

  /** The lowest sequence of the current session; undefined where nothing of it is here. */
  get lowest(): number | undefined {
    while (this.#low < this.#end && this.#ring[this.#low % this.#ring.length] === undefined) this.#low += 1;
    return this.#low < this.#end ? this.#low : undefined;
  }

  /** From now on this is the current one. Its sequences begin with 0. */
  begin(session: number): void {
    for (const each of this.#inOrder()) this.#others.set(nameOf(each.session, each.sequence), each);
    this.#ring.fill(undefined);
    this.#inRing = 0;
    this.#low = 0;
    this.#end = 0;
    this.#session = session;
  }

  add(one: T): void {
    if (one.session !== this.#session) {
      this.#others.set(nameOf(one.session, one.sequence), one);
      return;
    }
    this.#ring[one.sequence % this.#ring.length] = one;
    this.#end = one.sequence + 1;
    this.#inRing += 1;
  }

  get(session: number, sequence: number): T | undefined {
    const found = session === this.#session ? this.#ring[sequence % this.#ring.length] : undefined;
    if (found?.sequence === sequence) return found;
    return this.#others.size === 0 ? undefined : this.#others.get(nameOf(session, sequence));
  }

  /** @returns false where it is not here */
  delete(one: T): boolean {
    const at = one.sequence % this.#ring.length;
    if (this.#ring[at] === one) {
      this.#ring[at] = undefined;
      this.#inRing -= 1;
      return true;
    }
    const name = nameOf(one.session, one.sequence);
    return this.#others.get(name) === one && this.#others.delete(name);
  }

  /** All of them, those of the current session in their order. */
  values(): T[] {
    return [...this.#others.values(), ...this.#inOrder()];
  }

  #inOrder(): T[] {
    const found: T[] = [];
    for (let sequence = this.lowest ?? this.#end; sequence < this.#end; sequence += 1) {
      const one = this.#ring[sequence % this.#ring.length];
      if (one !== undefined) found.push(one);
    }
    return found;
  }
}

function nameOf(session: number, sequence: number): string {
  return `${session}:${sequence}`;
}
