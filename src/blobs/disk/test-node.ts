import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import type { Uploads } from "../uploads.ts";
import { type DiskBlobStore, openDiskStore } from "./blob-store.ts";
import type { FileSystem } from "./file-system.ts";
import { HashPool } from "./hash-pool.ts";
import { openDiskUploads } from "./uploads.ts";

export interface TestNode {
  readonly store: DiskBlobStore;
  readonly uploads: Uploads;
}

/** A data folder of its own; `remove` at the end of the test. */
export async function makeRoot(): Promise<{ readonly root: string; remove(): Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "roadstead-blobs-"));
  return { root, remove: () => rm(root, { recursive: true, force: true }) };
}

/** What a start of the process does with a data folder. The one before just stops being used, as after a kill. */
export async function startNode(root: string, worker: HashPool, fs?: FileSystem): Promise<TestNode> {
  const store = await openDiskStore({ root, worker, clock: systemClock, log: silentLog, ...(fs === undefined ? {} : { fs }) });
  return { store, uploads: openDiskUploads({ store, clock: systemClock, log: silentLog, expireAfterMs: 3_600_000 }) };
}

/** A store of its own for each test of the file. */
export function storeOfEachTest(): { readonly store: DiskBlobStore } {
  const worker = new HashPool();
  let now: { readonly store: DiskBlobStore; remove(): Promise<void> } | undefined;
  beforeEach(async () => {
    const { root, remove } = await makeRoot();
    now = { store: (await startNode(root, worker)).store, remove };
  });
  afterEach(() => now?.remove());
  afterAll(() => worker.close());
  return {
    get store() {
      if (now === undefined) throw new Error("no test runs");
      return now.store;
    },
  };
}

/** Files in the data folder, by path in it, sorted. */
export async function filesIn(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

/** Flips one bit. */
export async function flipBit(path: string, offset: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    await file.write(Buffer.from([byte[0]! ^ 1]), 0, 1, offset);
  } finally {
    await file.close();
  }
}
