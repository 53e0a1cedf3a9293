import { OciError, systemCode } from "../../core/errors.ts";

const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
/** Codes that a socket never throws: a body's source may fail too, and its error is to stay what it is. */
const DISK = new Set([
  ...FULL,
  "EIO",
  "EROFS",
  "EACCES",
  "EPERM",
  "ENOENT",
  "ENOTDIR",
  "EISDIR",
  "EMLINK",
  "ESTALE",
  "EUCLEAN",
  "ENODEV",
  "EMFILE",
  "ENFILE",
]);

/**
 * What a failed call of the file system means to the caller. A full disk is INSUFFICIENT_STORAGE; any other failure of the disk is UNAVAILABLE,
 * since another node can still do it. Everything else goes through as it is.
 */
export function storageFailure(error: unknown, doing: string): unknown {
  const code = systemCode(error);
  if (code === undefined || error instanceof OciError || !DISK.has(code)) return error;
  if (FULL.has(code)) {
    return new OciError(
      "INSUFFICIENT_STORAGE",
      `the disk of this node is full (${code} while ${doing}): free space or add a node, then retry`,
      { cause: code },
      error,
    );
  }
  const advice =
    code === "EACCES" || code === "EPERM" || code === "EROFS"
      ? "check the owner and the mount of the data folder"
      : code === "EMFILE" || code === "ENFILE"
        ? "raise the limit of open files"
        : "check the disk and the kernel's log";
  return new OciError(
    "UNAVAILABLE",
    `the disk of this node failed (${code} while ${doing}): ${advice}; another node may take the request`,
    { cause: code },
    error,
  );
}
