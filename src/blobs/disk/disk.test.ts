import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { blobStoreConformance } from "../blob-store.conformance.ts";
import { uploadsConformance } from "../uploads.conformance.ts";
import { openDiskStore } from "./blob-store.ts";
import { HashPool } from "./hash-pool.ts";
import { openDiskUploads } from "./uploads.ts";

// The real disk and the real threads, shared by the tests as a node shares them.
const worker = new HashPool();
afterAll(() => worker.close());

async function openStore() {
  const root = await mkdtemp(join(tmpdir(), "roadstead-blobs-"));
  const store = await openDiskStore({ root, worker, clock: systemClock, log: silentLog });
  return { store, close: () => rm(root, { recursive: true }) };
}

blobStoreConformance("disk", async () => {
  const { store, close } = await openStore();
  return {
    store,
    damage: async (digest, offset) => {
      const file = await open(store.layout.blob(digest), "r+");
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, offset);
      await file.write(Buffer.from([byte[0]! ^ 1]), 0, 1, offset);
      await file.close();
    },
    close,
  };
});

uploadsConformance("disk", async (clock) => {
  const { store, close } = await openStore();
  return { store, uploads: openDiskUploads({ store, clock, log: silentLog, expireAfterMs: 1_000 }), close };
});
