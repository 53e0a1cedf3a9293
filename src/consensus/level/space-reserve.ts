import { open, statfs, unlink } from "node:fs/promises";
import { systemCode } from "../../core/errors.ts";
import type { Space } from "../database.ts";

const SIZE_BYTES_MAX = 16 * 2 ** 20;
const SHARE = 1 / 16;
const CHUNK_BYTES = 2 ** 20;

/**
 * A file that holds room on the disk of log and catalog, and is given up when a write of theirs finds none: so that a disk that something else has filled
 * stops writes for want of room later, in good order, and not this one.
 */
export class SpaceReserve {
  readonly #path: string;
  readonly #folder: string;
  #held = false;

  constructor(folder: string, path: string) {
    this.#folder = folder;
    this.#path = path;
  }

  /** Takes the room where the disk has plenty; else there is none, and that is no error. */
  async take(): Promise<void> {
    const { freeBytes, sizeBytes } = await this.#look();
    if (freeBytes < 4 * sizeBytes) return;
    try {
      const file = await open(this.#path, "wx", 0o600);
      try {
        // Not a hole: its blocks are to be taken.
        const chunk = Buffer.alloc(CHUNK_BYTES, 0xa5);
        for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES) await file.write(chunk, 0, Math.min(CHUNK_BYTES, left));
      } finally {
        await file.close();
      }
      this.#held = true;
    } catch (error) {
      this.#held = systemCode(error) === "EEXIST";
      if (!this.#held) await this.release();
    }
  }

  /** @returns whether there was any */
  async release(): Promise<boolean> {
    this.#held = false;
    try {
      await unlink(this.#path);
      return true;
    } catch {
      return false;
    }
  }

  async freeBytes(): Promise<number> {
    return (await this.#look()).freeBytes;
  }

  /** What there is beside the reserve, which is taken again where it was given up and there is plenty. */
  async space(): Promise<Space> {
    if (!this.#held) await this.take();
    const { freeBytes, sizeBytes } = await this.#look();
    return { freeBytes: this.#held ? freeBytes : Math.max(0, freeBytes - sizeBytes), lowBytes: Math.floor(sizeBytes / 2) };
  }

  async #look(): Promise<{ readonly freeBytes: number; readonly sizeBytes: number }> {
    const { bsize, blocks, bavail } = await statfs(this.#folder);
    return { freeBytes: bsize * bavail, sizeBytes: Math.min(SIZE_BYTES_MAX, Math.floor(bsize * blocks * SHARE)) };
  }
}
