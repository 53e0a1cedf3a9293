import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../core/clock.ts";
import type { AppliedCommand } from "../metadata/apply-entry.ts";
import { COMMAND_VERSION, type Command } from "../metadata/commands.ts";
import { encodeEnvelope, stampEntry } from "../metadata/entry.ts";
import { factsOf } from "../metadata/scenario.ts";
import type { ConfState, Entry } from "../raft/types.ts";
import { Applier } from "./applier.ts";
import { DurableCatalog } from "./catalog-store.ts";
import { levelStorage } from "./level/level-storage.ts";

const CONF: ConfState = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const WIDER: ConfState = { ...CONF, learners: [9] };
let folder = "";
let store: DurableCatalog;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "applier-"));
  store = await openStore();
});
afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

const openStore = () =>
  DurableCatalog.open({
    storage: levelStorage(folder),
    clock: systemClock,
    fatal: () => undefined,
    initial: { index: 1, term: 1, confState: CONF },
  });
const normal = (index: number, command: Command): Entry => {
  const envelope = encodeEnvelope({ v: COMMAND_VERSION, session: 0, sequence: index, lowest: 0, command });
  return { index, term: 2, type: "normal", data: stampEntry(5, envelope) };
};
const tick = (index: number): Entry => normal(index, { type: "clock.tick" });
const init: Command = { type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(4), member: factsOf(1) };

function fixture() {
  const failures: Error[] = [];
  const commands: AppliedCommand[] = [];
  const told: (Uint8Array | undefined)[] = [];
  let batches = 0;
  let wake: () => void = () => undefined;
  const applier = new Applier({
    store,
    batchBytes: 2 ** 20,
    fatal: (error) => {
      failures.push(error);
      wake();
    },
    applyConfChange: (data) => {
      told.push(data);
      return WIDER;
    },
    applied: (batch) => {
      batches += 1;
      commands.push(...batch.commands);
      wake();
    },
  });
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { applier, failures, commands, told, until, batches: () => batches };
}

test("what waits together is one batch, and a later entry sees what an earlier one of it wrote", async () => {
  const { applier, commands, until, batches } = fixture();
  applier.enqueue({ entries: [tick(2)], replies: [] });
  for (let index = 3; index <= 20; index += 1) applier.enqueue({ entries: [index === 3 ? normal(3, init) : tick(index)], replies: [] });
  applier.enqueue({ entries: [normal(21, { type: "session.open", raftId: 1 })], replies: [] });
  await until(() => commands.length === 20);
  expect(batches()).toBe(2);
  // The session was opened for a member that the same batch made.
  expect(commands.at(-1)?.outcome).toEqual({ index: 21, value: 21 });
  expect(store.appliedIndex).toBe(21);
});

test("entries that an installed snapshot has overtaken are skipped, but the core is told of their configurations", async () => {
  const { applier, commands, told, until, failures } = fixture();
  await applier.exclusive(async () => {
    const staging = await store.stage({ index: 10, term: 2, confState: CONF }, new Uint8Array(32));
    await staging.finish();
    await staging.commit();
  });
  const change: Entry = { index: 9, term: 2, type: "confChangeV2", data: new Uint8Array([1]) };
  applier.enqueue({ entries: [tick(8), change, tick(10), tick(11)], replies: [] });
  await until(() => commands.length > 0 || failures.length > 0);
  expect(failures).toEqual([]);
  expect(commands.map(({ index }) => index)).toEqual([11]);
  expect(told).toEqual([new Uint8Array([1])]);
  expect([store.appliedIndex, store.confState]).toEqual([11, CONF]);
});

test("a configuration is kept with the batch that it came in", async () => {
  const { applier, until, batches } = fixture();
  applier.enqueue({ entries: [{ index: 2, term: 2, type: "confChangeV2", data: new Uint8Array([1]) }], replies: [] });
  await until(() => batches() === 1);
  await store.close();
  store = await openStore();
  expect([store.appliedIndex, store.appliedTerm, store.confState]).toEqual([2, 2, WIDER]);
});

test("a command that this program does not know halts the node, and nothing after it applies", async () => {
  const { applier, failures, commands, until } = fixture();
  const unknown = { type: "not.known" } as unknown as Command;
  applier.enqueue({ entries: [normal(2, unknown)], replies: [] });
  applier.enqueue({ entries: [tick(3)], replies: [] });
  await until(() => failures.length > 0);
  expect(failures[0]?.message).toContain("not.known");
  applier.enqueue({ entries: [tick(4)], replies: [] });
  await applier.stop();
  expect([store.appliedIndex, commands]).toEqual([1, []]);
});
