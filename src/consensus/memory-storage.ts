import type { CatalogDatabases, Database, DatabaseView, Operation, Range, Storage } from "./database.ts";

/** A log's database in memory, for tests. */
export class MemoryStorage implements Storage {
  readonly place = "memory";
  readonly #rows = new Map<string, Uint8Array>();

  async openLog(): Promise<Database> {
    const view: DatabaseView = {
      get: (key) => this.#rows.get(key),
      scan: (range) => this.#scan(range),
    };
    return {
      ...view,
      batch: (operations) => this.#batch(operations),
      snapshot: () => {
        throw new Error("a log is never read by snapshot");
      },
      close: async () => undefined,
    };
  }

  openCatalog(): Promise<CatalogDatabases> {
    throw new Error("this storage holds a log only");
  }

  async #batch(operations: readonly Operation[]): Promise<void> {
    for (const operation of operations) {
      if (operation.type === "put") this.#rows.set(operation.key, new Uint8Array(operation.value));
      else this.#rows.delete(operation.key);
    }
  }

  async *#scan({ prefix, after, limit }: Range): AsyncIterable<readonly [string, Uint8Array]> {
    const keys = [...this.#rows.keys()].filter((key) => key.startsWith(prefix) && (after === undefined || key > prefix + after));
    for (const key of keys.sort().slice(0, limit)) yield [key, this.#rows.get(key) ?? new Uint8Array(0)];
  }
}
