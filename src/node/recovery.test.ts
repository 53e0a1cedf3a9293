import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import { Scenario } from "../metadata/scenario.ts";
import { createCatalog } from "../metadata/store-catalog.ts";
import { furthest, Recovery } from "./recovery.ts";
import { readOrder } from "./recovery-order.ts";

const node = (raftId: number, lastTerm: number, lastIndex: number, commitIndex: number, termAt: number) => ({
  member: { raftId },
  survey: { clusterId: "c", term: lastTerm, lastTerm, lastIndex, commitIndex, appliedIndex: commitIndex, cutOff: true, termAt },
});

test("the survivor with the highest (term, index) is chosen; whoever asks, the same one where they are equal", () => {
  expect(furthest([node(1, 3, 90, 80, 3), node(2, 4, 85, 70, 3)], 80)?.member.raftId).toBe(2);
  expect(furthest([node(1, 3, 90, 80, 3), node(2, 3, 91, 70, 3)], 80)?.member.raftId).toBe(2);
  expect(furthest([node(1, 3, 90, 80, 3), node(2, 3, 90, 80, 3), node(3, 3, 90, 80, 3)], 80)?.member.raftId).toBe(1);
});

/**
 * Of five, 1 has entry 7 of term 1; 2, elected in term 2 by those who lack it, wrote another entry 7 and fell; 3, elected in term 3 with 1's help, has committed the
 * one of term 1 on 3, 4 and 5, and told 1 so. Then 3, 4 and 5 are lost.
 */
test("G1: a log that lacks what another survivor knows to be committed is not chosen, though its last term be higher", () => {
  expect(furthest([node(1, 1, 7, 7, 1), node(2, 2, 7, 6, 2)], 7)?.member.raftId).toBe(1);
});

test("a survivor that has no log yet is not chosen", () => {
  expect(furthest([node(1, 0, 0, 0, 0)], 0)).toBeUndefined();
});

/** Node 1 of three voters, which reaches neither of the others. */
async function survivor() {
  const data = await mkdtemp(join(tmpdir(), "recovery-"));
  onTestFinished(() => rm(data, { recursive: true }));
  const scenario = new Scenario();
  const ids = scenario.found(3);
  const catalog = createCatalog(scenario.store);
  const clock = new ManualClock();
  const status = { term: 4, lastIndex: 12, commitIndex: 11, appliedIndex: 11, cutOff: true, voters: ids };
  let restarts = 0;
  const recovery = new Recovery({
    consensus: { self: ids[0]!, catalog, status: () => status, log: { term: () => 3, firstIndex: () => 1 } } as never,
    host: { dial: () => Promise.reject(new Error("nobody answers")) } as unknown as Host,
    data,
    state: { clusterId: "old" },
    keys: { secret: new Uint8Array(32), key: new Uint8Array(1) },
    clock,
    random: seededRandom(1),
    log: silentLog,
    restart: () => {
      restarts += 1;
    },
  });
  const names = ids.map((id) => catalog.member(id)!.name);
  return { recovery, data, ids, names, status, clock, restarts: () => restarts };
}

test("what is ordered lies on the disk before the node starts again: a new id, new keys, who is lost, a higher term, and who ordered it", async () => {
  const { recovery, data, ids, names, clock, restarts } = await survivor();
  const plan = await recovery.plan();
  expect(plan).toMatchObject({ clusterId: "old", chosen: names[0], survivors: [{ name: names[0], lastTerm: 3, lastIndex: 12 }] });
  expect(plan.lost.map(({ name }) => name)).toEqual(names.slice(1));
  const { clusterId, leader } = await recovery.perform(names.slice(1), "somebody");
  const order = await readOrder(data);
  expect([leader, restarts()]).toEqual([names[0], 0]);
  expect(order).toMatchObject({
    role: "lead",
    from: "old",
    clusterId,
    term: 5,
    lost: ids.slice(1),
    by: "somebody",
    peers: [{ raftId: ids[0] }],
  });
  expect(order?.role === "lead" && order.summary).toBe(`from old, without ${names.slice(1).join(", ")}, by somebody`);
  expect(order?.keys.secret).toHaveLength(32);
  clock.advance(1_000);
  expect(restarts()).toBe(1);
  await expect(recovery.perform(names.slice(1), "somebody else")).rejects.toThrow("takes part in another recovery already");
});

test("a recovery is refused while a majority is there, where the lost are not as confirmed, and where it is another cluster's", async () => {
  const { recovery, data, ids, names, status } = await survivor();
  await expect(recovery.perform(names, "somebody")).rejects.toThrow("look again with `roadstead recover`");
  await expect(recovery.perform([], "somebody")).rejects.toMatchObject({ code: "CONFLICT" });
  const wish = { from: "old", survivors: [ids[0]!], lost: ids.slice(1), term: 5, by: "somebody" };
  await expect(recovery.lead({ ...wish, from: "other" })).rejects.toThrow("not in other");
  await expect(recovery.lead({ ...wish, lost: [ids[1]!] })).rejects.toThrow(`has ${names[2]} among its members too`);
  status.voters = [ids[0]!];
  await expect(recovery.plan()).rejects.toThrow("1 of 1 voters answer, and 1 are a quorum");
  status.cutOff = false;
  for (const asked of [recovery.plan(), recovery.perform(names.slice(1), "somebody"), recovery.lead(wish)])
    await expect(asked).rejects.toThrow("the cluster is alive");
  expect(await readOrder(data)).toBeUndefined();
});

test("of two recoveries at once, each from a survivor of its own, one is refused: one cluster does not become two", async () => {
  const { recovery, ids, names, clock } = await survivor();
  recovery.yieldTo("old", ids[1]!);
  recovery.yieldTo("old", ids[1]!); // the same once more, as of a retry
  await expect(recovery.perform(names.slice(1), "somebody")).rejects.toThrow("takes part in another recovery already");
  clock.advance(61_000); // nothing came of it
  expect(await recovery.perform(names.slice(1), "somebody")).toMatchObject({ leader: names[0] });
  expect(() => recovery.yieldTo("old", ids[1]!)).toThrow("takes part in another recovery already");
});

test("only a cluster that was recovered from that one hands over what is needed to follow it", async () => {
  const { recovery } = await survivor();
  expect(() => recovery.handOver("older")).toThrow("was not recovered from older");
});
