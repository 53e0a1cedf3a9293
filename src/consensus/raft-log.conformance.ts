import { expect, test } from "vitest";
import { seededRandom } from "../core/random.ts";
import { STARTS_REMEMBERED } from "../metadata/records.ts";
import type { Entry, HardState } from "../raft/types.ts";
import type { Database, Storage } from "./database.ts";
import type { ConsensusError } from "./errors.ts";
import { LogModel, SOLE_VOTER } from "./log-model.ts";
import { DurableRaftLog } from "./raft-log.ts";
import type { LogWork } from "./store.ts";

export interface LogFixture {
  /** The same content at each call, as after a restart. */
  readonly storage: Storage;
  discard(): Promise<void>;
}

/** A storage whose batches are counted, held up at `gate`, and fail with `failure`. */
class Watched implements Storage {
  readonly #inner: Storage;
  syncs = 0;
  batches = 0;
  failure: Error | undefined;
  gate: Promise<void> = Promise.resolve();

  constructor(inner: Storage) {
    this.#inner = inner;
  }

  get place(): string {
    return this.#inner.place;
  }

  async openLog(marker: Uint8Array): Promise<Database> {
    const database = await this.#inner.openLog(marker);
    return {
      get: (key) => database.get(key),
      scan: (range) => database.scan(range),
      snapshot: () => database.snapshot(),
      close: () => database.close(),
      batch: async (operations, options) => {
        await this.gate;
        this.batches += 1;
        if (this.failure !== undefined) throw this.failure;
        await database.batch(operations, options);
        if (options.sync) this.syncs += 1;
      },
    };
  }

  openCatalog(): ReturnType<Storage["openCatalog"]> {
    return this.#inner.openCatalog();
  }
}

const entry = (index: number, term: number, text = `entry ${index}`): Entry => ({ index, term, type: "normal", data: Buffer.from(text) });
const range = (from: number, to: number, term: number): Entry[] => Array.from({ length: to - from + 1 }, (_, at) => entry(from + at, term));
const work = (rest: Partial<LogWork>): LogWork => ({ hardState: undefined, snapshot: undefined, entries: [], ...rest });
const state = (term: number, vote: number, commit: number): HardState => ({ term, vote, commit });

type Body = (storage: Watched, open: () => Promise<DurableRaftLog>, told: ConsensusError[]) => Promise<void>;
type Run = (title: string, body: Body) => void;

/** What any database under the Raft log must give it, and what the log makes of that. */
export function raftLogConformance(name: string, create: () => Promise<LogFixture>): void {
  const run: Run = (title, body) =>
    test(`${name}: ${title}`, async () => {
      const fixture = await create();
      const storage = new Watched(fixture.storage);
      const told: ConsensusError[] = [];
      const fatal = (error: Error): void => void told.push(error as ConsensusError);
      try {
        await body(storage, () => DurableRaftLog.open({ storage, fatal, bootstrap: SOLE_VOTER, tailBytes: 500 }), told);
      } finally {
        await fixture.discard();
      }
    });
  contents(run);
  batches(run);
  failures(run);
  refusals(run);
}

function contents(run: Run): void {
  run("entries, votes, replaced suffixes, snapshots and cuts are there after a restart, however they were grouped", async (_, open) => {
    for (let seed = 1; seed <= 12; seed += 1) {
      const random = seededRandom(seed);
      let log = await open();
      const model = LogModel.of(log);
      for (let round = 0; round < 12; round += 1) {
        const group: Promise<void>[] = [];
        for (let count = 1 + Math.floor(random.float() * 12); count > 0; count -= 1) {
          const next = model.randomWork(random);
          model.apply(next);
          group.push(log.append(next));
        }
        await Promise.all(group);
        expect(LogModel.of(log).digest(), `seed ${seed}, round ${round}`).toBe(model.digest());
        expect(log.term(model.base.index)).toBe(model.base.term);
      }
      await log.close();
      log = await open();
      expect(LogModel.of(log).digest(), `seed ${seed}, opened again`).toBe(model.digest());
      expect(log.hardState.commit).toBe(model.hardState.commit);
      await log.close();
    }
  });

  run("a snapshot replaces the whole log, and a cut keeps the term of where it was made", async (_, open) => {
    const log = await open();
    await log.append(work({ entries: range(2, 30, 1), hardState: state(1, 1, 30) }));
    await log.compact(20);
    expect([log.firstIndex(), log.term(20), log.term(19), log.entries(20, 22, 1e9)]).toEqual([21, 1, "compacted", "compacted"]);
    await log.append(work({ hardState: state(3, 0, 50), snapshot: { index: 50, term: 3, confState: SOLE_VOTER } }));
    expect([log.firstIndex(), log.lastIndex(), log.term(50), log.term(51)]).toEqual([51, 50, 3, "unavailable"]);
    await log.close();
    const again = await open();
    expect([again.firstIndex(), again.lastIndex(), again.hardState, again.base]).toEqual([51, 50, state(3, 0, 50), { index: 50, term: 3 }]);
    await again.close();
  });
}

function batches(run: Run): void {
  run("what queues while one sync runs goes into the next, as one batch", async (storage, open) => {
    const log = await open();
    let release: () => void = () => undefined;
    storage.gate = new Promise((resolve) => {
      release = resolve;
    });
    const before = storage.batches;
    const first = log.append(work({ entries: [entry(2, 1)] }));
    // The first is at the gate when the others come.
    await new Promise<void>((resolve) => setImmediate(resolve));
    const rest = range(3, 40, 1).map((each) => log.append(work({ entries: [each] })));
    const done: string[] = [];
    void first.then(() => done.push("first"));
    for (const each of rest) void each.then(() => done.push("rest"));
    release();
    await Promise.all([first, ...rest]);
    expect([storage.batches - before, done[0], log.lastIndex()]).toEqual([2, "first", 40]);
    await log.close();
  });

  run("entries and votes are synced, a commit index alone is not", async (storage, open) => {
    const log = await open();
    const syncsOf = async (each: LogWork): Promise<number> => {
      const before = storage.syncs;
      await log.append(each);
      return storage.syncs - before;
    };
    expect(await syncsOf(work({ entries: [entry(2, 1)] }))).toBe(1);
    expect(await syncsOf(work({ hardState: state(1, 0, 2) }))).toBe(0);
    expect(await syncsOf(work({ hardState: state(1, 2, 2) }))).toBe(1);
    expect(await syncsOf(work({ hardState: state(2, 0, 2) }))).toBe(1);
    await log.close();
  });

  run("G1: a start is counted and named before anything else is done, and synced; those before it are remembered", async (storage) => {
    const nonces: string[] = [];
    for (let incarnation = 1; incarnation <= STARTS_REMEMBERED + 3; incarnation += 1) {
      const before = storage.syncs;
      const nonce = String(incarnation).padStart(16, "0");
      const log = await DurableRaftLog.open({ storage, fatal: () => undefined, bootstrap: SOLE_VOTER, nonce });
      expect([log.start, storage.syncs - before]).toEqual([{ incarnation, nonce, earlier: nonces.slice(0, STARTS_REMEMBERED) }, 1]);
      await log.append(work({ entries: [entry(incarnation + 1, 1)] }));
      await log.close();
      nonces.unshift(nonce);
    }
  });

  run("a log of an older program, or that one has opened since, remembers no starts", async (storage, open) => {
    const earlier = async (): Promise<number> => {
      const log = await open();
      await log.close();
      return log.start.earlier.length;
    };
    expect([await earlier(), await earlier()]).toEqual([0, 1]);
    const database = await storage.openLog(new Uint8Array(0));
    const old = database.get("s")!;
    await database.close();
    await earlier();
    const again = await storage.openLog(new Uint8Array(0));
    await again.batch([{ type: "put", key: "s", value: old }], { sync: true });
    await again.close();
    expect([await earlier(), await earlier()]).toEqual([0, 1]);
  });
}

function failures(run: Run): void {
  run(
    "G1: after a write that failed nothing is acknowledged, though later writes might succeed, and it is told once",
    async (storage, open, told) => {
      const log = await open();
      await log.append(work({ entries: [entry(2, 1)] }));
      storage.failure = new Error("fsync: input/output error");
      const failed = [log.append(work({ entries: [entry(3, 1)] })), log.append(work({ entries: [entry(4, 1)] }))];
      for (const each of failed) await expect(each).rejects.toMatchObject({ code: "storage" });
      storage.failure = undefined;
      await expect(log.append(work({ entries: [entry(3, 1)] }))).rejects.toMatchObject({ code: "storage" });
      expect(told.map(({ code }) => code)).toEqual(["storage"]);
      expect(log.lastIndex()).toBe(2);
      await log.close();
      const again = await open();
      expect(again.lastIndex()).toBe(2);
      await again.close();
    },
  );
}

function refusals(run: Run): void {
  const tampered: readonly (readonly [string, string, (database: Database) => Promise<void>])[] = [
    ["an altered entry", "is altered", (database) => alter(database, "e0000000000000005")],
    ["an altered head record", "the head record is altered", (database) => alter(database, "m")],
    ["an altered record of its starts", "the record of its starts is altered", (database) => alter(database, "s")],
    ["a missing entry", "entry 5 is missing", (database) => database.batch([{ type: "del", key: "e0000000000000005" }], { sync: true })],
    ["a missing last entry", "it ends at 8", (database) => database.batch([{ type: "del", key: "e0000000000000009" }], { sync: true })],
    ["a missing batch", "a batch was lost", (database) => database.batch([{ type: "del", key: "j0000000000000002" }], { sync: true })],
    ["a missing head record", "no head record", (database) => database.batch([{ type: "del", key: "m" }], { sync: true })],
  ];
  for (const [what, reason, tamper] of tampered) {
    run(`${what} is refused at open, with the reason and what to do`, async (storage, open) => {
      const log = await open();
      await log.append(work({ entries: range(2, 4, 1) }));
      await log.append(work({ entries: range(5, 8, 1) }));
      await log.append(work({ entries: [entry(9, 1)], hardState: state(1, 1, 8) }));
      await log.close();
      const database = await storage.openLog(new Uint8Array(0));
      await tamper(database);
      await database.close();
      const message = expect.stringMatching(new RegExp(`${reason}.*must not vote with it. Replace the node`));
      await expect(open()).rejects.toMatchObject({ code: "logCorrupt", message });
    });
  }

  run("a log of another node or another cluster is refused, and its own node takes it", async (storage, open) => {
    await (await open()).close();
    const as = (clusterId: string, raftId: number) =>
      DurableRaftLog.open({ storage, fatal: () => undefined, bootstrap: SOLE_VOTER, owner: { clusterId, raftId } });
    await (await as("one", 1)).close();
    await expect(as("one", 2)).rejects.toMatchObject({ code: "foreignFolder", message: expect.stringContaining("is of node 1") });
    await expect(as("two", 1)).rejects.toMatchObject({ code: "foreignFolder" });
    await (await as("one", 1)).close();
  });
}

async function alter(database: Database, key: string): Promise<void> {
  const value = Buffer.from(database.get(key) ?? []);
  value[value.byteLength - 1]! ^= 1;
  await database.batch([{ type: "put", key, value }], { sync: true });
}
