import { join } from "node:path";
import { algorithmOf, type Digest } from "../../core/digest.ts";
import { systemCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { FileSystem } from "./file-system.ts";
import { digestOfName, type Layout } from "./layout.ts";

const ALGORITHMS = ["sha256", "sha512"] as const;

async function namesIn(fs: FileSystem, folder: string): Promise<string[]> {
  try {
    return (await fs.readdir(folder)).sort();
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** Settled digests in order, strictly after `after`, a fan-out folder at a time. */
export async function listSettled(fs: FileSystem, layout: Layout, after: string, limit: number): Promise<readonly Digest[]> {
  const found: Digest[] = [];
  for (const algorithm of ALGORITHMS) {
    if (`${algorithm};` <= after) continue; // `;` follows `:`: all of this algorithm lies before
    for (const fanOut of await namesIn(fs, join(layout.blobs, algorithm))) {
      if (`${algorithm}:${fanOut}g` <= after) continue; // `g` follows the hex characters
      for (const name of await namesIn(fs, join(layout.blobs, algorithm, fanOut))) {
        const digest = digestOfName(algorithm, name);
        if (digest === undefined || digest <= after) continue;
        if (found.length >= limit) return found;
        found.push(digest);
      }
    }
  }
  return found;
}

interface FolderState {
  readonly algorithm: string;
  readonly path: string;
  counted: boolean;
  changes: number;
  /** Changes that are under way: the walk may or may not have seen them. */
  running: number;
}

/**
 * Counts of settled blobs, kept as they change. What lay here at the start is counted in the background, a folder at a time: a folder that
 * changes while it is walked is walked again.
 */
export class Usage {
  readonly #fs: FileSystem;
  readonly #layout: Layout;
  readonly #folders = new Map<string, FolderState>();
  readonly #done = Promise.withResolvers<void>();
  #blobs = 0;
  #sizeBytes = 0;
  #complete = false;

  constructor(fs: FileSystem, layout: Layout) {
    this.#fs = fs;
    this.#layout = layout;
  }

  get counted(): Promise<void> {
    return this.#done.promise;
  }

  start(log: Log): void {
    this.#count()
      .catch((error: unknown) => log.warn({ error }, "the blobs that were here at the start could not all be counted: usage is too low"))
      .finally(() => {
        this.#complete = true;
        this.#folders.clear();
        this.#done.resolve();
      });
  }

  async #count(): Promise<void> {
    for (const algorithm of ALGORITHMS) {
      for (const fanOut of await namesIn(this.#fs, join(this.#layout.blobs, algorithm))) {
        await this.#countFolder(algorithm, join(this.#layout.blobs, algorithm, fanOut));
      }
    }
    // Folders that were made meanwhile: no await lies between the last look and the end.
    for (let made = this.#uncounted(); made !== undefined; made = this.#uncounted()) await this.#countFolder(made.algorithm, made.path);
  }

  #uncounted(): FolderState | undefined {
    for (const folder of this.#folders.values()) if (!folder.counted) return folder;
    return undefined;
  }

  #folder(algorithm: string, path: string): FolderState {
    const known = this.#folders.get(path);
    if (known !== undefined) return known;
    const folder = { algorithm, path, counted: false, changes: 0, running: 0 };
    this.#folders.set(path, folder);
    return folder;
  }

  async #countFolder(algorithm: string, path: string): Promise<void> {
    const folder = this.#folder(algorithm, path);
    while (!folder.counted) {
      const { changes, running } = folder;
      let blobs = 0;
      let sizeBytes = 0;
      for (const name of await namesIn(this.#fs, path)) {
        if (digestOfName(algorithm, name) === undefined) continue;
        const stat = await this.#fs.stat(join(path, name)).catch(() => undefined);
        if (stat === undefined) continue; // dropped since the folder was read
        blobs += 1;
        sizeBytes += stat.sizeBytes;
      }
      if (running > 0 || folder.running > 0 || folder.changes !== changes) continue;
      folder.counted = true;
      this.#blobs += blobs;
      this.#sizeBytes += sizeBytes;
    }
  }

  /**
   * Runs what makes or removes a settled blob.
   * @param work answers by how many bytes, and whether a blob came (1), went (-1) or neither (0)
   */
  async change(digest: Digest, work: () => Promise<{ readonly blobs: number; readonly sizeBytes: number }>): Promise<void> {
    const folder = this.#complete ? undefined : this.#folder(algorithmOf(digest), this.#layout.fanOut(digest));
    if (folder !== undefined) folder.running += 1;
    try {
      const delta = await work();
      if (folder !== undefined && !folder.counted) return; // the walk will find it as it is
      this.#blobs += delta.blobs;
      this.#sizeBytes += delta.sizeBytes;
    } finally {
      if (folder !== undefined) {
        folder.running -= 1;
        folder.changes += 1;
      }
    }
  }

  total(): { readonly blobs: number; readonly sizeBytes: number } {
    return { blobs: this.#blobs, sizeBytes: this.#sizeBytes };
  }
}
