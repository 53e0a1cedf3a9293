import { OciError } from "../../core/errors.ts";
import type { FileSystem } from "./file-system.ts";

const RESERVE_MAX_BYTES = 256 * 1024 * 1024;
const RESERVE_SHARE = 1 / 10;
/** Of the reserve, what is granted between two looks at the disk. */
const GRANT_SHARE = 1 / 8;
const UNKNOWN_GRANT_BYTES = 64 * 1024 * 1024;

export interface DiskState {
  readonly freeBytes: number;
  /** What blobs leave free; 0 where the file system does not tell its size. */
  readonly reserveBytes: number;
  /** `blobs`: no blob is taken; `writes`: no manifest either, so that what the cluster itself has to write goes on. */
  readonly low: "no" | "blobs" | "writes";
}

/**
 * Keeps room for the Raft log and the catalog, which share the disk with the blobs: a node ends when a write of those fails, and could not
 * start again. So blobs stop before the disk is full, and manifests, which are entries of that log, once half of the reserve is gone.
 */
export class DiskReserve {
  readonly #fs: FileSystem;
  readonly #folder: string;
  #grantedBytes = 0;

  constructor(fs: FileSystem, folder: string) {
    this.#fs = fs;
    this.#folder = folder;
  }

  /**
   * To be called before bytes of a blob are written. Undefined where they are covered by what was granted already, which spares a promise
   * for most chunks.
   * @throws OciError INSUFFICIENT_STORAGE where the reserve would be touched
   */
  claim(sizeBytes: number): Promise<void> | undefined {
    if (sizeBytes > this.#grantedBytes) return this.#look(sizeBytes);
    this.#grantedBytes -= sizeBytes;
    return undefined;
  }

  async #look(sizeBytes: number): Promise<void> {
    const { freeBytes, reserveBytes } = await this.state();
    if (reserveBytes === 0) {
      this.#grantedBytes = UNKNOWN_GRANT_BYTES; // some network file systems tell nothing
      return;
    }
    const spareBytes = freeBytes - reserveBytes;
    if (spareBytes < sizeBytes) {
      this.#grantedBytes = 0;
      throw new OciError(
        "INSUFFICIENT_STORAGE",
        "the disk of this node is full but for what is kept for its log: free space or add a node, then retry",
        { freeBytes, reserveBytes },
      );
    }
    this.#grantedBytes = Math.max(0, Math.min(spareBytes, Math.floor(reserveBytes * GRANT_SHARE)) - sizeBytes);
  }

  /** As the disk is now. */
  async state(): Promise<DiskState> {
    const { freeBytes, sizeBytes } = await this.#fs.space(this.#folder);
    const reserveBytes = Math.min(RESERVE_MAX_BYTES, Math.floor(sizeBytes * RESERVE_SHARE));
    const low = freeBytes >= reserveBytes ? "no" : freeBytes >= reserveBytes / 2 ? "blobs" : "writes";
    return { freeBytes, reserveBytes, low };
  }

  /** @throws OciError INSUFFICIENT_STORAGE where more than half of the reserve is gone */
  async assertLogRoom(): Promise<void> {
    const { low, freeBytes, reserveBytes } = await this.state();
    if (low !== "writes") return;
    throw new OciError(
      "INSUFFICIENT_STORAGE",
      "the disk of this node is so full that its log is at risk: no manifest is taken until space is freed; reads and deletions go on",
      { freeBytes, reserveBytes },
    );
  }
}
