import { ClassicLevel } from "classic-level";
import { ConsensusError } from "../errors.ts";
import { isNoSpace } from "../patient-writer.ts";

export type Level = ClassicLevel<string, Uint8Array>;

export interface LevelOptions {
  readonly cacheBytes: number;
  readonly writeBufferBytes: number;
  readonly compression: boolean;
}

const FREE_SPACE = "The disk is full: free some 16 MiB on it, and start the node again";

/** @throws ConsensusError folderInUse where another process holds the folder, storage */
export async function openLevel(folder: string, options: LevelOptions): Promise<Level> {
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
    return level;
  } catch (error) {
    throw openFailure(folder, error);
  }
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
    `The database in ${folder} cannot be opened: ${cause instanceof Error ? cause.message : String(cause)}${isNoSpace(cause) ? `. ${FREE_SPACE}` : ""}`,
    { folder, ...(code === "LEVEL_CORRUPTION" ? { damage: 1 } : {}) },
    error,
  );
}

/** Whether a read failed because of what the files hold. */
export function isAltered(error: unknown): error is Error {
  return error instanceof Error && "code" in error && error.code === "LEVEL_CORRUPTION";
}

/** Whether `openDatabase` failed because of what the files hold, and not of how they can be reached. */
export function isDamage(error: unknown): error is ConsensusError {
  return error instanceof ConsensusError && error.facts.damage === 1;
}
