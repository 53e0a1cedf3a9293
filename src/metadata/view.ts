/** The state that `apply` reads: the catalog as of the entry before. Only point reads, so that a decision costs the same at any size. */
export interface View {
  get(key: string): Uint8Array | undefined;
}

/** One write of `apply`; undefined deletes the key. */
export interface Change {
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

/** The applied state of this node, as the catalog reads it. Adapters: `consensus/level/`, and the map of the tests. */
export interface CatalogStore extends View {
  /** Keys that start with `prefix` and are greater than `prefix + after`, in byte order, at most `limit`. */
  scan(prefix: string, after: string, limit: number): Promise<readonly (readonly [key: string, value: Uint8Array])[]>;
}
