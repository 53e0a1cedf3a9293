import { mkdir, open as openFile } from "node:fs/promises";
import { ClassicLevel } from "classic-level";
import { ConsensusError } from "../errors.ts";

/** Keys as text, values as bytes. */
export type Database = ClassicLevel<string, Uint8Array>;

export interface DatabaseOptions {
  readonly cacheBytes: number;
  readonly writeBufferBytes: number;
  readonly compression: boolean;
}

/** @throws ConsensusError folderInUse where another process holds the folder */
export async function openDatabase(folder: string, options: DatabaseOptions): Promise<Database> {
  await mkdir(folder, { recursive: true });
  const database: Database = new ClassicLevel<string, Uint8Array>(folder, {
    keyEncoding: "utf8",
    valueEncoding: "view",
    cacheSize: options.cacheBytes,
    writeBufferSize: options.writeBufferBytes,
    compression: options.compression,
    maxOpenFiles: 256,
  });
  try {
    await database.open();
  } catch (error) {
    throw openFailure(folder, error);
  }
  return database;
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
    { folder },
    error,
  );
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

/** Sixteen hex digits, so that text order is number order. */
export function orderedIndex(index: number): string {
  return index.toString(16).padStart(16, "0");
}

export function parseOrderedIndex(text: string): number {
  return Number.parseInt(text, 16);
}
