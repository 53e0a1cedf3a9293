import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { raftLogConformance } from "../raft-log.conformance.ts";
import { levelStorage } from "./level-storage.ts";

raftLogConformance("on LevelDB", async () => {
  const folder = await mkdtemp(join(tmpdir(), "conformance-"));
  return { storage: levelStorage(folder), discard: () => rm(folder, { recursive: true, force: true }) };
});
