import { mkdir, open as openFile, readdir } from "node:fs/promises";
import type { Database, DatabaseView, Operation, Range } from "../database.ts";
import { ConsensusError } from "../errors.ts";
import { NO_ROOM, PatientWriter, type Room } from "../patient-writer.ts";
import { isAltered, type Level, type LevelOptions, openLevel } from "./open-level.ts";
import { dropShadow, openShadow } from "./shadow.ts";

type LevelSnapshot = ReturnType<Level["snapshot"]>;

export interface DatabaseOptions extends LevelOptions {
  /** For writes on a full disk; without it they fail. */
  readonly room?: Room;
  /** What is looked at before the folder is opened again. @throws ConsensusError where it is damaged */
  readonly check?: () => Promise<void>;
  /** Told why, where a read finds what the disk has altered. */
  readonly altered?: (reason: string) => void;
}

/** @throws ConsensusError folderInUse where another process holds the folder */
export async function openDatabase(folder: string, options: DatabaseOptions): Promise<LevelDatabase> {
  await mkdir(folder, { recursive: true });
  return new LevelDatabase(folder, options, await openLevel(folder, options));
}

/** `Database` on LevelDB: keys as text, values as bytes. */
export class LevelDatabase implements Database {
  readonly location: string;
  readonly #options: DatabaseOptions;
  readonly #writer: PatientWriter;
  #level: Level;
  /** Answers reads while `#level` is closed. */
  #shadow: Level | undefined;
  /** One change of the newest batch that was done. */
  #newest: Operation | undefined;

  constructor(folder: string, options: DatabaseOptions, level: Level) {
    this.location = folder;
    this.#options = options;
    this.#level = level;
    this.#writer = new PatientWriter(
      { write: (operations, how) => this.#write(operations, how), renew: () => this.#renew() },
      options.room ?? NO_ROOM,
    );
  }

  get(key: string): Uint8Array | undefined {
    return this.#get(this.#readable, key, undefined);
  }

  scan(range: Range): AsyncIterable<readonly [string, Uint8Array]> {
    return this.#scan(this.#readable, range, undefined);
  }

  /** A sync batch is a real fdatasync of LevelDB's own log. */
  batch(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void> {
    return this.#writer.write(operations, options);
  }

  snapshot(): DatabaseView & { close(): Promise<void> } {
    const level = this.#readable;
    const snapshot = level.snapshot();
    return {
      get: (key) => this.#get(level, key, snapshot),
      scan: (range) => this.#scan(level, range, snapshot),
      close: () => snapshot.close(),
    };
  }

  async close(): Promise<void> {
    await this.#writer.idle();
    await this.#level.close();
    if (this.#shadow !== undefined) await dropShadow(this.location, this.#shadow);
  }

  get #readable(): Level {
    return this.#shadow ?? this.#level;
  }

  #get(level: Level, key: string, snapshot: LevelSnapshot | undefined): Uint8Array | undefined {
    try {
      return snapshot === undefined ? level.getSync(key) : level.getSync(key, { snapshot });
    } catch (error) {
      this.#tellDamage(error);
      throw error;
    }
  }

  async *#scan(level: Level, range: Range, snapshot: LevelSnapshot | undefined): AsyncIterable<readonly [string, Uint8Array]> {
    const prefix = Buffer.from(range.prefix);
    const iterator = level.iterator<Buffer, Uint8Array>({
      keyEncoding: "buffer",
      ...(range.after === undefined ? { gte: prefix } : { gt: Buffer.from(range.prefix + range.after) }),
      ...(prefix.byteLength === 0 ? {} : { lt: prefixEnd(prefix) }),
      ...(range.limit === undefined ? {} : { limit: range.limit }),
      ...(snapshot === undefined ? {} : { snapshot }),
    });
    try {
      for await (const [key, value] of iterator) yield [key.toString("utf8"), value];
    } catch (error) {
      this.#tellDamage(error);
      throw error;
    }
  }

  #tellDamage(error: unknown): void {
    if (isAltered(error)) this.#options.altered?.(error.message);
  }

  async #write(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void> {
    // One by one: a list of operations costs classic-level more than twice the time of the event loop.
    const batch = this.#level.batch();
    for (const operation of operations) {
      if (operation.type === "put") batch.put(operation.key, operation.value);
      else batch.del(operation.key);
    }
    await batch.write(options);
    this.#newest = operations.at(-1) ?? this.#newest;
  }

  /**
   * The log file may end with a part of a batch, and LevelDB would drop all that follows it in there at the next open: another file is begun. Where it does not
   * come to that, since a failure to write a table is kept by LevelDB for good, the database is opened again.
   */
  async #renew(): Promise<void> {
    if (this.#level.status === "open") {
      const before = await newestLog(this.location);
      // Over no keys: all that it does is to move what is in memory into a table, and begin another log file. It says nothing of failure.
      await this.#level.compactRange(BEYOND, BEYOND);
      if ((await newestLog(this.location)) > before) return;
    }
    await this.#reopen();
  }

  async #reopen(): Promise<void> {
    this.#shadow ??= await openShadow(this.location, this.#options);
    await this.#level.close();
    await this.#options.check?.();
    const level = await openLevel(this.location, this.#options);
    const { key, value } = { value: undefined, ...(this.#newest ?? { key: "" }) };
    const found = level.getSync(key);
    const same = value === undefined ? found === undefined : found !== undefined && Buffer.compare(found, value) === 0;
    this.#level = level;
    const shadow = this.#shadow;
    this.#shadow = undefined;
    await dropShadow(this.location, shadow);
    if (!same) throw lostWrite(this.location);
  }
}

/** The smallest key above all that start with `prefix`. UTF-8 has no byte 0xff, so the last byte can always be raised. */
function prefixEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return end;
}

/** Above all keys. */
const BEYOND = "\uffff";

async function newestLog(folder: string): Promise<number> {
  return Math.max(0, ...(await readdir(folder)).filter((name) => name.endsWith(".log")).map((name) => Number.parseInt(name, 10)));
}

function lostWrite(folder: string): ConsensusError {
  const message = `The database in ${folder} was opened again after the disk was full, and lacks what had been written before. This node must end; at its next start it says whether it can go on.`;
  return new ConsensusError("storage", message, { folder });
}

/** Makes names in `folder` durable: a rename or a new file is only as durable as its folder. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await openFile(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
