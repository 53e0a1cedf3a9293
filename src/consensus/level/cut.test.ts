import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { DurableCatalog } from "../catalog-store.ts";
import { LogCutter } from "../log-cutter.ts";
import { SOLE_VOTER } from "../log-model.ts";
import { ManualClock } from "../manual-clock.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { DEFAULT_TIMING } from "../timing.ts";
import { levelStorage } from "./level-storage.ts";

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
});

const fatal = (error: Error): void => {
  throw error;
};

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "cut-"));
  undo.push(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function open(at: string): Promise<{ log: DurableRaftLog; store: DurableCatalog }> {
  const storage = levelStorage(at);
  const log = await DurableRaftLog.open({ storage, fatal, bootstrap: SOLE_VOTER });
  const store = await DurableCatalog.open({ storage, clock: new ManualClock(), fatal, initial: log.bootstrap! });
  undo.push(
    () => log.close(),
    () => store.close(),
  );
  return { log, store };
}

test("G1: a power cut right after a cut of the log loses nothing, though the catalog has applied more than it has synced", async () => {
  const live = await folder();
  const { log, store } = await open(live);
  const extend = async (count: number): Promise<void> => {
    for (let added = 0; added < count; added += 1) {
      const index = log.lastIndex() + 1;
      await log.append({
        hardState: undefined,
        snapshot: undefined,
        entries: [{ index, term: 1, type: "normal", data: Buffer.from(`${index}`) }],
      });
      const changes = new Map([[`k${index}`, Buffer.from(`${index}`)]]);
      await store.applyBatch({ entries: [{ index, seal: undefined }], changes, term: 1, confState: undefined });
    }
  };
  await extend(60);
  await store.sync();
  // What a power cut leaves of the catalog is what was synced; of the log, everything.
  const cut = await folder();
  await cp(join(live, "catalog"), join(cut, "catalog"), { recursive: true });
  await extend(60);
  const timing = { ...DEFAULT_TIMING, keepEntries: 5 };
  const compacted = log.compact.bind(log);
  let compacting: Promise<void> = Promise.resolve();
  log.compact = (index) => {
    compacting = compacted(index);
    return compacting;
  };
  new LogCutter({ log, store, timing, keepFrom: () => Number.POSITIVE_INFINITY }).cut();
  await compacting;
  expect(log.firstIndex()).toBeGreaterThan(50);
  for (const name of ["raft", "raft.witness"]) await cp(join(live, name), join(cut, name), { recursive: true });
  const after = await open(cut);
  const { appliedIndex } = after.store;
  expect(appliedIndex).toBeLessThan(log.lastIndex());
  // Each entry is in the catalog, or in the log after it.
  expect(appliedIndex).toBeGreaterThanOrEqual(after.log.base.index);
  const entries = after.log.entries(appliedIndex + 1, log.lastIndex() + 1, Number.POSITIVE_INFINITY);
  expect(entries).toHaveLength(log.lastIndex() - appliedIndex);
});
