import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { liveTables } from "./folder-check.ts";
import { tableDamage } from "./table-check.ts";

export interface TableWatchOptions {
  /** Of the database as it is now. */
  readonly folder: () => string;
  readonly clock: Clock;
  /** Told why, once a table is found that the disk has altered. */
  readonly altered: (reason: string) => void;
}

/** One table of some MiB each time: a few ms of the event loop. */
const LOOK_MS = 30_000;

/**
 * Checks the tables of a database that is open, one after the other and for ever: what the disk alters in one of them LevelDB notices where it cannot unpack a
 * block, and otherwise answers wrongly. A table that is listed is whole and never changes, so nothing needs to be held up meanwhile.
 */
export class TableWatch {
  readonly #options: TableWatchOptions;
  readonly #stop: () => void;
  #newest = "";
  #looking = false;
  #closed = false;

  constructor(options: TableWatchOptions) {
    this.#options = options;
    this.#stop = options.clock.every(LOOK_MS, () => void this.look());
  }

  /** Checks the next table. Never throws: what cannot be read now is no damage. */
  async look(): Promise<void> {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    try {
      await this.#next();
    } catch {
      // It may have been dropped meanwhile, or the whole database for another one.
    } finally {
      this.#looking = false;
    }
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  async #next(): Promise<void> {
    const folder = this.#options.folder();
    const tables = await liveTables(folder);
    const table = tables.find((name) => name > this.#newest) ?? tables[0];
    if (table === undefined) return;
    this.#newest = table;
    const damage = tableDamage(await readFile(join(folder, table)));
    // One that is not listed any more is nobody's.
    if (damage === undefined || !(await liveTables(folder)).includes(table)) return;
    this.close();
    this.#options.altered(`the table ${table} is damaged: ${damage}`);
  }
}
