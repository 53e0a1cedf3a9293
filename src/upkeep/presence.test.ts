import { afterEach, expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { MemoryConsensus } from "../consensus/memory.ts";
import { silentLog } from "../core/log.ts";
import { factsOf, SECRET_HASH } from "../metadata/scenario.ts";
import { keepPresence } from "./presence.ts";

const DOWN_AFTER_MS = 30_000;

let end: (() => void) | undefined;
afterEach(() => end?.());

/** Node 1 leads; the others are named by their place. */
async function bench(nodes = 3) {
  const consensus = new MemoryConsensus();
  const clock = new ManualClock();
  await consensus.propose({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1) });
  await consensus.propose({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 9, ttlMs: 1e9 });
  for (let node = 2; node <= nodes; node += 1)
    await consensus.propose({ type: "member.add", member: factsOf(node), token: { id: "t", hash: SECRET_HASH } });
  const ids = consensus.catalog.members().map(({ raftId }) => raftId);
  const silent = new Set<number>();
  const seen = { leads: true, asked: 0, answer: (_witness: string): boolean | undefined => false };
  const membership = {
    self: 1,
    leads: () => seen.leads,
    progress: () => ids.map((raftId, at) => ({ raftId, match: 0, state: "replicate" as const, active: !silent.has(at + 1), fresh: true })),
  };
  end = keepPresence({
    consensus,
    membership,
    ask: async (witness) => {
      seen.asked += 1;
      return seen.answer(witness.name);
    },
    downAfterMs: DOWN_AFTER_MS,
    clock,
    log: silentLog,
  });
  return {
    consensus,
    seen,
    silent,
    isDown: (node: number) => consensus.catalog.member(ids[node - 1]!)?.down,
    pass: async (ms: number) => {
      clock.advance(ms);
      await new Promise(setImmediate); // what the looks have begun has ended
    },
  };
}

test("a member that the leader has not heard from for long, and another does not reach, is down; heard for a while, it is up", async () => {
  const { silent, isDown, pass } = await bench();
  await pass(2_000);
  silent.add(3);
  await pass(DOWN_AFTER_MS);
  expect(isDown(3)).toBe(false);
  await pass(1_000);
  expect([isDown(2), isDown(3)]).toEqual([false, true]);
  silent.delete(3);
  await pass(5_000);
  expect(isDown(3)).toBe(true);
  await pass(1_000);
  expect(isDown(3)).toBe(false);
});

test("the leader alone does not decide: no other that answers, or one that reaches the member, and it stays up", async () => {
  for (const answers of [[undefined, undefined], [false, true], []] as const) {
    const { silent, seen, isDown, pass } = await bench(answers.length + 2);
    const left = [...answers];
    seen.answer = () => left[seen.asked % Math.max(1, left.length)];
    silent.add(2);
    await pass(DOWN_AFTER_MS + 2_000);
    expect([seen.asked, isDown(2)], String(answers)).toEqual([answers.length, false]);
    end?.();
  }
});

test("silent ones are no witnesses; of four, one of the others is enough", async () => {
  const { silent, seen, isDown, pass } = await bench(4);
  const asked: string[] = [];
  seen.answer = (witness) => {
    asked.push(witness);
    return false;
  };
  for (const node of [3, 4]) silent.add(node);
  await pass(DOWN_AFTER_MS + 2_000);
  expect(asked).toEqual(["node-2", "node-2"]);
  expect([isDown(3), isDown(4)]).toEqual([true, true]);
});

test("a member that is asked about again is asked about after a while, not at each look", async () => {
  const { silent, seen, isDown, pass } = await bench();
  seen.answer = () => true;
  silent.add(3);
  await pass(DOWN_AFTER_MS + 1_000);
  for (let second = 0; second < 8; second += 1) await pass(1_000);
  expect(seen.asked).toBe(1);
  seen.answer = () => false;
  await pass(11_000);
  expect([seen.asked, isDown(3)]).toEqual([2, true]);
});

test("one that comes back while the others are asked is not down, and a node that leads no more says nothing", async () => {
  const { silent, seen, isDown, pass } = await bench();
  seen.answer = () => {
    silent.delete(3);
    return false;
  };
  silent.add(3);
  await pass(DOWN_AFTER_MS + 1_000);
  await pass(2_000);
  expect(isDown(3)).toBe(false);
  const other = await bench();
  other.seen.leads = false;
  other.silent.add(3);
  await other.pass(DOWN_AFTER_MS * 2);
  expect([other.seen.asked, other.isDown(3)]).toEqual([0, false]);
});
