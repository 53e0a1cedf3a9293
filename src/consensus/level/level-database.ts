import { mkdir, open as openFile } from "node:fs/promises";
import { ClassicLevel } from "classic-level";
import type { Database, DatabaseView, Operation, Range } from "../database.ts";
import { ConsensusError } from "../errors.ts";

type Level = ClassicLevel<string, Uint8Array>;
type LevelSnapshot = ReturnType<Level["snapshot"]>;

export interface DatabaseOptions {
  readonly cacheBytes: number;
  readonly writeBufferBytes: number;
  readonly compression: boolean;
  /** Makes room on a disk that is full; false where it cannot. */
  readonly makeRoom?: () => Promise<boolean>;
}

/** @throws ConsensusError folderInUse where another process holds the folder */
export async function openDatabase(folder: string, options: DatabaseOptions): Promise<LevelDatabase> {
  await mkdir(folder, { recursive: true });
  const level: Level = new ClassicLevel<string, Uint8Array>(folder, {
    keyEncoding: "utf8",
    valueEncoding: "view",
    cacheSize: options.cacheBytes,
    writeBufferSize: options.writeBufferBytes,
    compression: options.compression,
    maxOpenFiles: 256,
  });
  try {
    await level.open();
  } catch (error) {
    throw openFailure(folder, error);
  }
  return new LevelDatabase(level, options.makeRoom ?? (async () => false));
}

/** `Database` on LevelDB: keys as text, values as bytes. */
export class LevelDatabase implements Database {
  readonly #level: Level;
  readonly #makeRoom: () => Promise<boolean>;
  /** Ends when the batch before has: none may follow one of which a part is in LevelDB's log, since that part would hide it at the next open. */
  #turn: Promise<void> = Promise.resolve();

  constructor(level: Level, makeRoom: () => Promise<boolean>) {
    this.#level = level;
    this.#makeRoom = makeRoom;
  }

  get location(): string {
    return this.#level.location;
  }

  get(key: string): Uint8Array | undefined {
    return this.#level.getSync(key);
  }

  scan(range: Range): AsyncIterable<readonly [string, Uint8Array]> {
    return scanLevel(this.#level, range, undefined);
  }

  /** A sync batch is a real fdatasync of LevelDB's own log. */
  batch(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void> {
    const done = this.#turn.then(() => this.#write(operations, options));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /**
   * A write that found no room was not synced, and is done once more after room was made, into a log file of its own: the one before may end with a part of it.
   * A failed fsync LevelDB keeps as an error for good, so that one is never repeated into success.
   */
  async #write(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void> {
    try {
      await this.#level.batch(operations as Operation[], options);
    } catch (error) {
      if (!isNoSpace(error) || !(await this.#makeRoom())) throw error;
      // Over no keys: all that it does is to move what is in memory into a table, and begin another log file.
      await this.#level.compactRange(BEYOND, BEYOND);
      await this.#level.batch(operations as Operation[], options);
    }
  }

  snapshot(): DatabaseView & { close(): Promise<void> } {
    const level = this.#level;
    const snapshot = level.snapshot();
    return {
      get: (key) => level.getSync(key, { snapshot }),
      scan: (range) => scanLevel(level, range, snapshot),
      close: () => snapshot.close(),
    };
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}

async function* scanLevel(level: Level, range: Range, snapshot: LevelSnapshot | undefined): AsyncIterable<readonly [string, Uint8Array]> {
  const prefix = Buffer.from(range.prefix);
  const iterator = level.iterator<Buffer, Uint8Array>({
    keyEncoding: "buffer",
    ...(range.after === undefined ? { gte: prefix } : { gt: Buffer.from(range.prefix + range.after) }),
    ...(prefix.byteLength === 0 ? {} : { lt: prefixEnd(prefix) }),
    ...(range.limit === undefined ? {} : { limit: range.limit }),
    ...(snapshot === undefined ? {} : { snapshot }),
  });
  for await (const [key, value] of iterator) yield [key.toString("utf8"), value];
}

/** The smallest key above all that start with `prefix`. UTF-8 has no byte 0xff, so the last byte can always be raised. */
function prefixEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return end;
}

/** Above all keys. */
const BEYOND = "\uffff";

function isNoSpace(error: unknown): boolean {
  return error instanceof Error && /No space left on device/.test(error.message);
}

function openFailure(folder: string, error: unknown): ConsensusError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (code === "LEVEL_LOCKED") {
    return new ConsensusError(
      "folderInUse",
      `The data folder ${folder} is in use by another process. Stop that one, or give this one a folder of its own.`,
      { folder },
      error,
    );
  }
  return new ConsensusError(
    "storage",
    `The database in ${folder} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}`,
    { folder, ...(code === "LEVEL_CORRUPTION" ? { damage: 1 } : {}) },
    error,
  );
}

/** Whether `openDatabase` failed because of what the files hold, and not of how they can be reached. */
export function isDamage(error: unknown): error is ConsensusError {
  return error instanceof ConsensusError && error.facts.damage === 1;
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
