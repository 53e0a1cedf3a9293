import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import { factsOf } from "../metadata/scenario.ts";
import { DurableCatalog } from "./catalog-store.ts";
import { Driver } from "./driver.ts";
import { ConsensusError, type Fatal } from "./errors.ts";
import { levelStorage } from "./level/level-storage.ts";
import { MemoryNetwork } from "./memory-transport.ts";
import { DurableRaftLog } from "./raft-log.ts";
import type { AppliedStore, RaftLog } from "./store.ts";
import { DEFAULT_TIMING } from "./timing.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "failure-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const init = { type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(4), member: factsOf(1) } as const;

/** A single node whose log or catalog fails when `broken` says so, as a disk does: the adapter tells `fatal` and rejects. */
async function fixture(broken: { log?: boolean; store?: boolean }) {
  const failures: Error[] = [];
  const logged: string[] = [];
  let driver: Driver | undefined;
  const fatal: Fatal = (error) => driver?.fail(error);
  const log = await DurableRaftLog.open({
    storage: levelStorage(folder),
    fatal,
    bootstrap: { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
  });
  const store = await DurableCatalog.open({ storage: levelStorage(folder), clock: systemClock, fatal, initial: log.bootstrap! });
  const failing = async (): Promise<void> => {
    const error = new ConsensusError("storage", "the disk is gone");
    fatal(error);
    throw error;
  };
  const overriding = <T extends object>(target: T, name: keyof T, breaks: () => boolean): T =>
    new Proxy(target, {
      get(of, key) {
        if (key === name && breaks()) return failing;
        const value = Reflect.get(of, key, of) as unknown;
        return typeof value === "function" ? value.bind(of) : value;
      },
    });
  driver = new Driver({
    self: 1,
    boot: { ...log.start, term: log.hardState.term, lastIndex: log.lastIndex() },
    log: overriding<RaftLog>(log, "append", () => broken.log === true),
    store: overriding<AppliedStore>(store, "applyBatch", () => broken.store === true),
    transport: new MemoryNetwork({ clock: systemClock, random: seededRandom(1), delayMsMax: 1 }).transport(1),
    clock: systemClock,
    random: seededRandom(1),
    logger: { ...silentLog, error: (_fields, message) => logged.push(message) },
    timing: DEFAULT_TIMING,
    fatal: (error) => failures.push(error),
  });
  await driver.start();
  return { driver, failures, logged };
}

test("G1: a write of the log that failed acknowledges nothing, and ends the node once", async () => {
  const broken = { log: false };
  const { driver, failures, logged } = await fixture(broken);
  expect((await driver.propose(init)).refused).toBeUndefined();
  broken.log = true;
  await expect(driver.propose({ type: "clock.tick" })).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(failures.map(({ message }) => message)).toEqual(["the disk is gone"]);
  expect(logged, "whoever is told by `fatal` prints it").toEqual([]);
  broken.log = false;
  await expect(driver.propose({ type: "clock.tick" })).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await driver.close();
});

test("a write of the catalog that failed acknowledges nothing, and ends the node once", async () => {
  const broken = { store: false };
  const { driver, failures } = await fixture(broken);
  expect((await driver.propose(init)).refused).toBeUndefined();
  broken.store = true;
  await expect(driver.propose({ type: "clock.tick" })).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(failures).toHaveLength(1);
  await driver.close();
});
