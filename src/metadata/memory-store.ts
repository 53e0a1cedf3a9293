import type { CatalogStore, Change } from "./view.ts";

/** A catalog in memory: for tests and simulations, and what an adapter must do alike. */
export class MemoryStore implements CatalogStore {
  #rows: Map<string, Uint8Array>;
  #sorted: readonly string[] | undefined;

  constructor(rows: Iterable<readonly [string, Uint8Array]> = []) {
    this.#rows = new Map(rows);
  }

  get(key: string): Uint8Array | undefined {
    return this.#rows.get(key);
  }

  write(changes: readonly Change[]): void {
    for (const { key, value } of changes) {
      if (value === undefined ? this.#rows.has(key) : !this.#rows.has(key)) this.#sorted = undefined;
      if (value === undefined) this.#rows.delete(key);
      else this.#rows.set(key, value);
    }
  }

  async scan(prefix: string, after: string, limit: number): Promise<readonly (readonly [key: string, value: Uint8Array])[]> {
    this.#sorted ??= [...this.#rows.keys()].sort(compareKeys);
    const found: (readonly [string, Uint8Array])[] = [];
    for (let at = this.#firstAfter(prefix, after); at < this.#sorted.length && found.length < limit; at += 1) {
      const key = this.#sorted[at] ?? "";
      const value = this.#rows.get(key);
      if (!key.startsWith(prefix)) break;
      if (value !== undefined) found.push([key, value]);
    }
    return found;
  }

  /** All of it, sorted. */
  entries(): readonly (readonly [string, Uint8Array])[] {
    return [...this.#rows].sort(([a], [b]) => compareKeys(a, b));
  }

  copy(): MemoryStore {
    return new MemoryStore(this.#rows);
  }

  #firstAfter(prefix: string, after: string): number {
    const sorted = this.#sorted ?? [];
    const bound = prefix + after;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = compareKeys(sorted[middle] ?? "", bound);
      // the prefix itself is no key under it: strictly after it in both cases
      if (order <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** In byte order of UTF-8, as a disk sorts. */
function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
