import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { type Log, silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import { LogModel, SOLE_VOTER } from "../log-model.ts";
import { ManualClock } from "../manual-clock.ts";
import type { Room } from "../patient-writer.ts";
import { DurableRaftLog } from "../raft-log.ts";
import { openDatabase } from "./level-database.ts";
import { levelStorage } from "./level-storage.ts";
import { MemoryCluster, tokenCommand } from "./memory-cluster.ts";
import { mountSmallDisk, SMALL_DISK_SKIPPED, type SmallDisk } from "./small-disk.ts";

const MIB = 2 ** 20;
const onSmallDisk = test.skipIf(SMALL_DISK_SKIPPED !== "");
const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
});

function mount(sizeMib: number): SmallDisk {
  const disk = mountSmallDisk(sizeMib);
  undo.push(() => disk.unmount());
  return disk;
}

/** As a kill would leave it. */
async function copyOf(...paths: string[]): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "no-room-"));
  undo.push(() => rm(copy, { recursive: true, force: true }));
  for (const path of paths) await cp(path, join(copy, path.slice(path.lastIndexOf("/") + 1)), { recursive: true });
  return copy;
}

/** A log whose first error is waited for, and what stops the waiting. */
function patience() {
  const stopping = new AbortController();
  let told: () => void = () => undefined;
  const waiting = new Promise<void>((resolve) => {
    told = resolve;
  });
  const log: Log = { ...silentLog, error: () => told() };
  return { clock: new ManualClock(), log, signal: stopping.signal, waiting, stop: () => stopping.abort() };
}

onSmallDisk(
  `G1: what is written after a write that found no room is there after a kill: it does not stand behind the part of that write${SMALL_DISK_SKIPPED}`,
  async () => {
    const disk = mount(32);
    let made = 0;
    const room: Room = {
      make: async () => {
        made += 1;
        await disk.free();
        return made === 1;
      },
      wait: async (reason) => {
        throw reason;
      },
    };
    const options = { cacheBytes: MIB, writeBufferBytes: 4 * MIB, compression: false };
    const database = await openDatabase(join(disk.folder, "db"), { ...options, room });
    await disk.fill(MIB);
    const random = seededRandom(3);
    const value = Uint8Array.from({ length: 20_000 }, () => Math.floor(random.float() * 256));
    let count = 0;
    const put = (): Promise<void> => {
      count += 1;
      return database.batch([{ type: "put", key: `k${count}`, value }], { sync: true });
    };
    while (made === 0) await put();
    await put();
    const copy = await copyOf(join(disk.folder, "db"));
    const killed = await openDatabase(join(copy, "db"), options);
    undo.push(
      () => killed.close(),
      () => database.close(),
    );
    expect(Array.from({ length: count }, (_, at) => `k${at + 1}`).filter((key) => killed.get(key) === undefined)).toEqual([]);
  },
);

for (const [what, leaveBytes] of [
  ["a record of its log", 0],
  ["a table, which LevelDB keeps as an error for good", 3 * MIB],
] as const) {
  onSmallDisk(
    `G1: a log that finds no room for ${what} acknowledges nothing and is read meanwhile, and goes on once there is some${SMALL_DISK_SKIPPED}`,
    async () => {
      const disk = mount(64);
      const { waiting, clock, stop, ...rest } = patience();
      undo.push(stop);
      const told: Error[] = [];
      const storage = levelStorage(disk.folder, { patience: { clock, ...rest } });
      const log = await DurableRaftLog.open({ storage, fatal: (error) => void told.push(error), bootstrap: SOLE_VOTER, tailBytes: 1 });
      undo.push(() => log.close());
      const model = LogModel.of(log);
      const random = seededRandom(11);
      let acknowledged = 0;
      const append = async (): Promise<void> => {
        const index = log.lastIndex() + 1;
        const data = Buffer.from(Array.from({ length: 60_000 }, () => Math.floor(random.float() * 256)));
        const work = { hardState: undefined, snapshot: undefined, entries: [{ index, term: 1, type: "normal" as const, data }] };
        await log.append(work);
        model.apply(work);
        acknowledged = index;
      };
      for (let count = 0; count < 40; count += 1) await append();
      await disk.fill(leaveBytes);
      let stuck = false;
      void waiting.then(() => {
        stuck = true;
      });
      let last: Promise<void> = Promise.resolve();
      while (!stuck) {
        last = append();
        await Promise.race([last, waiting]);
      }
      clock.advance(5_000);
      expect([told, log.lastIndex()]).toEqual([[], acknowledged]);
      expect(log.entries(2, acknowledged + 1, 100)).toHaveLength(1);
      await disk.free();
      let done = false;
      const moving = last.then(() => {
        done = true;
      });
      while (!done) {
        clock.advance(1_000);
        expect(log.term(2), "it is read while it is opened again").toBe(1);
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      await moving;
      for (let count = 0; count < 20; count += 1) await append();
      expect(told).toEqual([]);
      const copy = await copyOf(join(disk.folder, "raft"), join(disk.folder, "raft.witness"));
      const killed = await DurableRaftLog.open({ storage: levelStorage(copy), fatal: () => undefined, bootstrap: SOLE_VOTER });
      undo.push(() => killed.close());
      expect(LogModel.of(killed).digest()).toBe(model.digest());
    },
  );
}

onSmallDisk(
  `a node whose disk fills up refuses to propose and stays alive, and goes on by itself once there is room${SMALL_DISK_SKIPPED}`,
  async () => {
    const disk = mount(64);
    const stopping = new AbortController();
    const cluster = new MemoryCluster(join(disk.folder, "nodes"));
    cluster.storageOf = (_id, folder) =>
      levelStorage(folder, { reserve: true, patience: { clock: systemClock, log: silentLog, signal: stopping.signal } });
    undo.push(
      () => cluster.close(),
      () => stopping.abort(),
    );
    const node = await cluster.open(1, [1]);
    await cluster.leader();
    await cluster.initialise();
    await disk.fill();
    let refused: unknown;
    for (let count = 0; refused === undefined; count += 1) {
      await node.propose(tokenCommand(`t${count}`)).catch((error: unknown) => {
        refused = error;
      });
    }
    expect(refused).toMatchObject({ code: "INSUFFICIENT_STORAGE", message: expect.stringContaining("disk full on this node") });
    expect(await node.barrier()).toBe("fresh");
    const applied = node.status().appliedIndex;
    await disk.free();
    let outcome: unknown;
    while (outcome === undefined)
      outcome = await node.propose(tokenCommand("after")).catch(() => new Promise<void>((resolve) => setTimeout(resolve, 20)));
    expect(cluster.failures).toEqual([]);
    expect(node.status().appliedIndex).toBeGreaterThan(applied);
  },
);
