import type { Row } from "./rows.ts";
import { MARK } from "./rows.ts";
import type { Change, View } from "./view.ts";

/** Writes over a view that are not made yet: a decision reads its own, and a refusal drops them. */
export class Draft implements View {
  readonly #base: View;
  readonly #changes = new Map<string, Uint8Array | undefined>();

  constructor(base: View) {
    this.#base = base;
  }

  get(key: string): Uint8Array | undefined {
    if (this.#changes.size === 0) return this.#base.get(key);
    const value = this.#changes.get(key);
    return value !== undefined || this.#changes.has(key) ? value : this.#base.get(key);
  }

  read<T>(row: Row<T>, key: string): T | undefined {
    return readRow(this, row, key);
  }

  write<T>(row: Row<T>, key: string, value: T): void {
    this.put(key, row.encode(value));
  }

  put(key: string, value: Uint8Array): void {
    this.#changes.set(key, value);
  }

  mark(key: string): void {
    this.put(key, MARK);
  }

  remove(key: string): void {
    this.#changes.set(key, undefined);
  }

  /** Forgets all that was written. */
  discard(): void {
    this.#changes.clear();
  }

  /** One change a key, the last one written. */
  get changes(): ReadonlyMap<string, Uint8Array | undefined> {
    return this.#changes;
  }
}

export function readRow<T>(view: View, row: Row<T>, key: string): T | undefined {
  const bytes = view.get(key);
  return bytes === undefined ? undefined : row.decode(bytes);
}

export function changesOf(changed: ReadonlyMap<string, Uint8Array | undefined>): Change[] {
  return Array.from(changed, ([key, value]) => ({ key, value }));
}
