import { afterEach, expect, test } from "vitest";
import type { Storage } from "./database.ts";
import { levelStorage } from "./level/level-storage.ts";
import { MemoryCluster, tokenCommand } from "./level/memory-cluster.ts";
import { PatientWriter, type Room } from "./patient-writer.ts";

let cluster: MemoryCluster;
afterEach(() => cluster.close());

/** Takes no write of the log while it is full. */
class FillableDisk {
  freeBytes = 1_000;
  full = false;
  #freed: () => void = () => undefined;
  #wait: Promise<void> = Promise.resolve();

  fill(): void {
    this.full = true;
    this.#wait = new Promise((resolve) => {
      this.#freed = resolve;
    });
  }

  free(): void {
    this.full = false;
    this.#freed();
  }

  storage(folder: string): Storage {
    const inner = levelStorage(folder);
    const room: Room = { make: async () => false, wait: () => this.#wait };
    return {
      place: folder,
      space: async () => ({ freeBytes: this.freeBytes, lowBytes: 100 }),
      openCatalog: () => inner.openCatalog(),
      openLog: async (marker) => {
        const database = await inner.openLog(marker);
        const assertRoom = (): void => {
          if (this.full) throw new Error("ENOSPC: no space left on device, write");
        };
        const write = async (...batch: Parameters<typeof database.batch>): Promise<void> => {
          assertRoom();
          await database.batch(...batch);
        };
        const writer = new PatientWriter({ write, renew: async () => assertRoom() }, room);
        return {
          get: (key) => database.get(key),
          scan: (range) => database.scan(range),
          snapshot: () => database.snapshot(),
          batch: (operations, options) => writer.write(operations, options),
          close: () => database.close(),
        };
      },
    };
  }
}

/** Nodes 1 to 3 on disks of their own, with node 1 as their leader. */
async function three(): Promise<readonly FillableDisk[]> {
  cluster = await MemoryCluster.create(0);
  const disks = [1, 2, 3].map(() => new FillableDisk());
  cluster.storageOf = (id, folder) => disks[id - 1]!.storage(folder);
  await Promise.all([1, 2, 3].map((id) => cluster.open(id, [1, 2, 3])));
  await cluster.initialise();
  const leader = await cluster.leader();
  if (leader.self !== 1) leader.transferLeader(1);
  await cluster.until(() => [1, 2, 3].every((id) => cluster.node(id).status().leader === 1));
  return disks;
}

/** Node 1 is the only member of the catalog: the others vote. */
const third = () =>
  cluster
    .node(1)
    .progress()
    .find(({ raftId }) => raftId === 3);
const propose = (name: string) => cluster.node(1).propose(tokenCommand(name));

test("G1: a node whose log finds no room stays alive and acknowledges nothing; the others go on, and it has everything once there is room", async () => {
  const [, , disk] = await three();
  await propose("before");
  // A majority was enough for that: the third may be about to write it.
  await cluster.until(() => third()?.match === cluster.node(1).lastIndex());
  const held = cluster.node(3).lastIndex();
  disk!.fill();
  for (let count = 0; count < 20; count += 1) await propose(`while-${count}`);
  expect([cluster.failures, cluster.node(3).lastIndex()]).toEqual([[], held]);
  expect(third()).toMatchObject({ match: held, active: true });
  // With another one down, that makes no majority: what is proposed is not answered, and not lost either.
  await cluster.stop(2);
  let answered = false;
  const waiting = propose("waits").then(() => {
    answered = true;
  });
  await cluster.until(() => cluster.node(1).status().lastIndex > cluster.node(1).status().commitIndex);
  expect(answered).toBe(false);
  disk!.free();
  await waiting;
  await cluster.until(() => cluster.node(3).status().appliedIndex === cluster.node(1).status().appliedIndex);
  expect(Buffer.from(cluster.node(3).seal())).toEqual(Buffer.from(cluster.node(1).seal()));
  expect(cluster.failures).toEqual([]);
});

test("a leader whose disk is nearly full hands over, refuses what is proposed through it, and goes on once there is room", async () => {
  const [disk] = await three();
  disk!.freeBytes = 99;
  await cluster.until(() => cluster.node(1).status().leader !== 1 && cluster.node(1).status().leader !== undefined);
  await expect(propose("refused")).rejects.toMatchObject({
    code: "INSUFFICIENT_STORAGE",
    message: expect.stringContaining("disk full on this node"),
  });
  await cluster.initialise(); // it has been, so that this changes nothing; through the new leader
  expect(await cluster.node(1).barrier()).toBe("fresh");
  disk!.freeBytes = 100;
  let outcome: unknown;
  await cluster.until(() => {
    void propose("after").then(
      (found) => {
        outcome = found;
      },
      () => undefined,
    );
    return outcome !== undefined;
  });
  expect(cluster.failures).toEqual([]);
});
