import { blobStoreConformance } from "./blob-store.conformance.ts";
import { createMemoryBlobStore, createMemoryUploads } from "./memory.ts";
import { uploadsConformance } from "./uploads.conformance.ts";

blobStoreConformance("memory", async () => {
  const store = createMemoryBlobStore();
  return { store, damage: async (digest, offset) => store.damage(digest, offset), close: async () => {} };
});

uploadsConformance("memory", async (clock) => {
  const store = createMemoryBlobStore();
  return { store, uploads: createMemoryUploads(store, { clock, expireAfterMs: 1_000 }), close: async () => {} };
});
