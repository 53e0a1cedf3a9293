import { readdir } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import type { Log } from "../core/log.ts";
import { silentLog } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import { TOKEN } from "../metadata/rows.ts";
import { factsOf, SECRET_HASH } from "../metadata/scenario.ts";
import type { ConfState } from "../raft/types.ts";
import { levelStorage } from "./level/level-storage.ts";
import { MemoryCluster, tokenCommand } from "./level/memory-cluster.ts";
import { SealWatch } from "./seal-watch.ts";
import type { PeerMessage } from "./transport.ts";

const GOOD = Uint8Array.of(1);
const BAD = Uint8Array.of(2);

/** Node 1 under test. */
function bench(voters: readonly RaftId[], learners: readonly RaftId[] = []) {
  const conf: ConfState = { voters: [...voters], votersOutgoing: [], learners: [...learners], learnersNext: [], autoLeave: false };
  let apply: (index: number, seal: Uint8Array) => void = () => undefined;
  const store = {
    installedIndex: 0,
    onSeal(listener: typeof apply) {
      apply = listener;
      return () => undefined;
    },
  };
  const sent: (readonly [to: RaftId, message: PeerMessage])[] = [];
  const alarms: unknown[] = [];
  const ends: Error[] = [];
  const log: Log = { ...silentLog, error: (facts) => alarms.push(facts) };
  const watch = new SealWatch({
    self: 1,
    store,
    transport: { send: (to, messages) => sent.push(...messages.map((message) => [to, message] as const)) },
    log,
    everyEntries: 10,
    conf: () => conf,
    diverged: (error) => ends.push(error),
  });
  return { watch, store, sent, alarms, ends, apply: (index: number, seal: Uint8Array) => apply(index, seal) };
}

test("a voter tells its seal to every member, a learner to the voters alone, at some indexes only", () => {
  const voter = bench([1, 2], [3]);
  for (let index = 1; index <= 20; index += 1) voter.apply(index, GOOD);
  const told = (to: RaftId, index: number) => [to, { kind: "seal", index, seal: GOOD }];
  expect(voter.sent).toEqual([told(2, 10), told(3, 10), told(2, 20), told(3, 20)]);
  const learner = bench([2, 4], [1, 3]);
  learner.apply(10, GOOD);
  expect(learner.sent).toEqual([told(2, 10), told(4, 10)]);
});

test("who differs from what two of three agree on ends, whether it was told before it had applied the entry or after", () => {
  const ahead = bench([1, 2, 3]);
  ahead.apply(10, BAD);
  ahead.watch.heard(2, 10, GOOD);
  expect(ahead.ends).toEqual([]);
  ahead.watch.heard(3, 10, GOOD);
  expect(ahead.ends).toHaveLength(1);
  expect(ahead.ends[0]).toMatchObject({
    code: "diverged",
    facts: { index: 10 },
    message: expect.stringMatching(/^[^\n]*replace the node/),
  });
  const behind = bench([1, 2, 3]);
  for (const peer of [2, 3]) behind.watch.heard(peer, 10, GOOD);
  expect(behind.ends).toEqual([]);
  behind.apply(10, BAD);
  expect(behind.ends).toHaveLength(1);
});

test("the majority goes on, and says once at which entry which member differs", () => {
  const { watch, apply, ends, alarms } = bench([1, 2, 3]);
  apply(10, GOOD);
  watch.heard(2, 10, GOOD);
  watch.heard(3, 10, BAD);
  watch.heard(3, 10, BAD);
  expect(alarms).toEqual([{ index: 10, member: 3 }]);
  apply(20, GOOD);
  expect(ends).toEqual([]);
});

test("without a majority that agrees nobody ends: of two, of three that all differ, or where learners alone say so", () => {
  const two = bench([1, 2]);
  two.apply(10, BAD);
  two.watch.heard(2, 10, GOOD);
  const three = bench([1, 2, 3]);
  three.apply(10, BAD);
  three.watch.heard(2, 10, GOOD);
  three.watch.heard(3, 10, Uint8Array.of(3));
  const learners = bench([1, 2, 3], [4, 5, 6]);
  learners.apply(10, GOOD);
  for (const peer of [4, 5, 6]) learners.watch.heard(peer, 10, BAD);
  expect([...two.ends, ...three.ends, ...learners.ends]).toEqual([]);
  expect([two.alarms.length, three.alarms.length, learners.alarms.length]).toEqual([1, 2, 3]);
});

test("a learner that differs from a majority of the voters ends", () => {
  const { watch, apply, ends } = bench([2, 3, 4], [1]);
  apply(10, BAD);
  for (const peer of [2, 3]) watch.heard(peer, 10, GOOD);
  expect(ends).toHaveLength(1);
});

test("a state that a snapshot has replaced is not held against the node", () => {
  const { watch, store, apply, ends } = bench([1, 2, 3]);
  apply(10, BAD);
  store.installedIndex = 15;
  for (const peer of [2, 3]) watch.heard(peer, 10, GOOD);
  expect(ends).toEqual([]);
  apply(20, GOOD);
  for (const peer of [2, 3]) watch.heard(peer, 20, GOOD);
  expect(ends).toEqual([]);
});

test("marks are few, however far a member runs ahead, and what is no mark is not kept", () => {
  const { watch, apply, ends } = bench([1, 2, 3]);
  for (const peer of [2, 3]) {
    watch.heard(peer, 11, GOOD);
    for (let index = 10; index <= 90; index += 10) watch.heard(peer, index, GOOD);
  }
  for (const index of [10, 11]) apply(index, BAD);
  expect(ends).toEqual([]);
  apply(20, BAD);
  expect(ends).toHaveLength(1);
});

let cluster: MemoryCluster | undefined;
afterEach(async () => {
  await cluster?.close();
  cluster = undefined;
});

test("a member whose disk has altered a value under its seal ends with one clear line once that has shown; the others go on", async () => {
  cluster = await MemoryCluster.create(3);
  const { failures } = cluster;
  await cluster.node(1).propose({ ...tokenCommand("join"), uses: 9 } as ReturnType<typeof tokenCommand>);
  expect(await cluster.node(3).barrier()).toBe("fresh");
  await cluster.stop(3);
  await alterToken(cluster.folder(3), "join");
  await cluster.open(3, [1, 2, 3]);
  const member = { type: "member.add", member: factsOf(2), token: { id: "join", hash: SECRET_HASH } } as const;
  expect((await cluster.node(1).propose(member)).refused).toBeUndefined();
  for (let n = 0; n < 20; n += 1) await cluster.node(1).propose(tokenCommand(`t${n}`));
  await cluster.until(() => failures.length > 0);
  expect(failures).toEqual([expect.objectContaining({ code: "diverged" })]);
  expect(cluster.node(3).leads()).toBe(false);
  expect((await cluster.node(1).propose(tokenCommand("after"))).refused).toBeUndefined();
  expect(await cluster.node(2).barrier()).toBe("fresh");
  expect(failures).toHaveLength(1);
  // As a service manager does: it must not serve what it has.
  await cluster.stop(3);
  const again = await cluster.open(3, [1, 2, 3]);
  expect(await readdir(cluster.folder(3))).toContain("catalog.damaged-1");
  expect(await again.barrier()).toBe("fresh");
  await cluster.node(1).propose(tokenCommand("later"));
  expect(await again.barrier()).toBe("fresh");
  expect(Buffer.from(again.seal())).toEqual(Buffer.from(cluster.node(1).seal()));
  expect(failures).toHaveLength(1);
});

/** As a disk does that answers what was never written: one value, and nothing else. */
async function alterToken(folder: string, id: string): Promise<void> {
  const catalog = await levelStorage(folder).openCatalog();
  const key = `ctoken/${id}`;
  const record = TOKEN.decode(catalog.current.get(key) ?? new Uint8Array());
  await catalog.current.batch([{ type: "put", key, value: TOKEN.encode({ ...record, usesLeft: record.usesLeft + 1 }) }], { sync: true });
  await catalog.close();
}
