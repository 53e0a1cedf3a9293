import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import { MemoryStore } from "../../metadata/memory-store.ts";
import { SnapshotWriter } from "../../metadata/snapshot.ts";
import type { ConfState } from "../../raft/types.ts";
import { Applier } from "../applier.ts";
import { DurableCatalog } from "../catalog-store.ts";
import type { CatalogDatabases, Storage } from "../database.ts";
import { MemoryNetwork } from "../memory-transport.ts";
import { encodeHeader } from "../snapshot-header.ts";
import { Snapshots } from "../snapshots.ts";
import { levelStorage } from "./level-storage.ts";

const CONF: ConfState = { voters: [1, 2], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "switch-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const never = (error: Error): void => {
  throw error;
};

/** Tells of the moment in which the store begins to answer with another database. */
function watched(switchedTo: () => void): Storage {
  const storage = levelStorage(folder);
  return {
    ...storage,
    openCatalog: async () => {
      const databases = await storage.openCatalog();
      const watching: CatalogDatabases = {
        get current() {
          return databases.current;
        },
        begin: () => databases.begin(),
        discard: (fresh) => databases.discard(fresh),
        close: () => databases.close(),
        commit: (fresh, switched) =>
          databases.commit(fresh, () => {
            switched();
            switchedTo();
          }),
      };
      return watching;
    },
  };
}

test("G2: when the applied index is that of an installed snapshot, its readers have been told", async () => {
  const told: number[] = [];
  const at: { index: number; told: readonly number[] }[] = [];
  const store: DurableCatalog = await DurableCatalog.open({
    storage: watched(() => at.push({ index: store.appliedIndex, told: [...told] })),
    clock: systemClock,
    fatal: never,
  });
  const snapshots = new Snapshots({
    self: 1,
    store,
    applier: new Applier({ store, fatal: never, batchBytes: 1_000, applyConfChange: () => CONF, applied: () => undefined }),
    transport: new MemoryNetwork({
      clock: systemClock,
      random: { float: () => 0, bytes: (count) => new Uint8Array(count) },
      delayMsMax: 0,
    }).transport(1),
    clock: systemClock,
    log: silentLog,
    report: () => undefined,
    step: () => undefined,
    installed: () => told.push(store.appliedIndex),
  });
  const meta = { index: 40, term: 3, confState: CONF };
  const message = { type: "snapshot", from: 2, to: 1, term: 3, snapshot: { meta, data: new Uint8Array(0) } } as const;
  const header = encodeHeader({ kind: "content", message, seal: new Uint8Array(32), after: "" });
  await snapshots.receive(2, header, new SnapshotWriter(new MemoryStore([["k", Buffer.from("v")]])).chunks());
  expect(at).toEqual([{ index: 40, told: [40] }]);
  expect(told).toEqual([40]);
  await store.close();
});
