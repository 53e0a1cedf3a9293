import { MemoryStorage } from "./memory-storage.ts";
import { raftLogConformance } from "./raft-log.conformance.ts";

raftLogConformance("in memory", async () => ({ storage: new MemoryStorage(), discard: async () => undefined }));
