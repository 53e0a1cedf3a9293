import { access, constants, mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemCode } from "../core/errors.ts";
import { LOCK_FOLDER } from "./data-lock.ts";
import { NodeError } from "./node-error.ts";

/**
 * Makes the data folder and its first subfolder where they are not there, so that a place where nothing can be made is found out before anything is opened.
 * @throws NodeError that names `--data` and says why
 */
export async function makeDataFolder(data: string): Promise<void> {
  try {
    await makeFolder(data);
    await makeFolder(join(data, LOCK_FOLDER)).then(() => access(join(data, LOCK_FOLDER), constants.W_OK), passOverFullDisk);
  } catch (error) {
    throw new NodeError(`--data ${data}: ${reasonOf(error)}; give a folder in which this user may make files`);
  }
}

/** One level at a time: `mkdir` of Node with `recursive` never ends below /proc and its like, where every name is answered by ENOENT. */
async function makeFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) await makeFolder(parent);
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (systemCode(error) !== "EEXIST" || !(await isFolder(path))) throw error; // another start may have been faster
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
  throw Object.assign(new Error(`${path} is no folder`), { code: "ENOTDIR" });
}

/** What is opened next gives up the reserve for it. */
function passOverFullDisk(error: unknown): void {
  const code = systemCode(error);
  if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
}

function reasonOf(error: unknown): string {
  const code = systemCode(error);
  switch (code) {
    case "EACCES":
    case "EPERM":
      return `this user may not write there (${code})`;
    case "EROFS":
      return "the file system is mounted read-only";
    case "ENOENT":
      return "nothing can be made there (ENOENT)";
    case "EEXIST":
    case "ENOTDIR":
      return "it, or a part of its path, is no folder";
    case "ENAMETOOLONG":
      return "the name is too long";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
