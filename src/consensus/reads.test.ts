import { expect, test } from "vitest";
import { seededRandom } from "../core/random.ts";
import { ManualClock } from "./manual-clock.ts";
import { Reads } from "./reads.ts";
import { DEFAULT_TIMING } from "./timing.ts";

function fixture() {
  const clock = new ManualClock();
  const asked: Uint8Array[] = [];
  const state = { leader: true, cutOff: false, applied: 5, sole: undefined as number | undefined, leaderHeard: true };
  const reads = new Reads({
    self: 2,
    clock,
    random: seededRandom(1),
    timing: DEFAULT_TIMING,
    soleIndex: () => state.sole,
    appliedIndex: () => state.applied,
    ask: (context) => {
      if (state.leader) asked.push(context);
      return state.leader;
    },
    cutOff: () => state.cutOff,
    leaderHeard: () => state.leaderHeard,
    unanswered: (unanswered) => {
      state.cutOff = unanswered;
      if (unanswered) reads.cutOff();
    },
  });
  const tick = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      reads.tick();
    }
  };
  const answer = (index: number, context = asked.at(-1)!): void => reads.answered([{ index, context }]);
  return { asked, state, reads, tick, answer };
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  return (await Promise.race([promise, new Promise((resolve) => setImmediate(() => resolve(pending)))])) !== pending;
}

test("reads that come while a round runs share the next one, and none is answered by a round that began before it", async () => {
  const { asked, reads, answer } = fixture();
  const first = reads.barrier();
  const later = [reads.barrier(), reads.barrier()];
  expect(asked).toHaveLength(1);
  answer(5);
  expect(await first).toBe("fresh");
  expect(await isSettled(Promise.race(later))).toBe(false);
  expect(asked).toHaveLength(2);
  answer(5);
  expect(await Promise.all(later)).toEqual(["fresh", "fresh"]);
});

test("a read waits until its index has applied", async () => {
  const { reads, answer, state } = fixture();
  const read = reads.barrier();
  answer(8);
  state.applied = 7;
  reads.applied(7);
  expect(await isSettled(read)).toBe(false);
  state.applied = 8;
  reads.applied(8);
  expect(await read).toBe("fresh");
});

test("an answer to a round that was given up answers nobody", async () => {
  const { asked, reads, answer, tick } = fixture();
  const read = reads.barrier();
  tick(600);
  expect(asked).toHaveLength(2);
  answer(5, asked[0]);
  expect(await isSettled(read)).toBe(false);
  answer(5, asked[1]);
  expect(await read).toBe("fresh");
});

test("G3: three rounds without an answer mean cut off, and one that is answered ends it", async () => {
  const { asked, reads, answer, tick, state } = fixture();
  const read = reads.barrier();
  tick(1_600);
  expect(await read).toBe("cutOff");
  expect(state.cutOff).toBe(true);
  expect(await reads.barrier()).toBe("cutOff");
  const before = asked.length;
  tick(1_000);
  expect(asked.length).toBeGreaterThan(before);
  answer(5);
  expect(state.cutOff).toBe(false);
  const again = reads.barrier();
  answer(5);
  expect(await again).toBe("fresh");
});

test("reads wait through an election, which counts for no failure, and end at the deadline", async () => {
  const { asked, reads, tick, state, answer } = fixture();
  state.leader = false;
  const read = reads.barrier();
  tick(5_000);
  expect([asked.length, state.cutOff]).toEqual([0, false]);
  state.leader = true;
  reads.leaderChanged();
  answer(5);
  expect(await read).toBe("fresh");
  state.leader = false;
  const another = expect(reads.barrier()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  tick(10_100);
  await another;
});

test("alone, a read needs no round, and waits only for what is not applied yet", async () => {
  const { asked, reads, state } = fixture();
  state.sole = 5;
  expect(await reads.barrier()).toBe("fresh");
  state.sole = 6;
  const read = reads.barrier();
  expect(await isSettled(read)).toBe(false);
  state.applied = 6;
  reads.applied(6);
  expect(await read).toBe("fresh");
  expect(asked).toHaveLength(0);
});

test("a reader that goes away is not waited for", async () => {
  const { reads } = fixture();
  const controller = new AbortController();
  const read = reads.barrier(controller.signal);
  controller.abort(new Error("gone"));
  await expect(read).rejects.toThrow("gone");
});

test("G3: rounds that a dead leader does not answer leave the read waiting for the election, and never mean cut off", async () => {
  const { asked, state, reads, tick, answer } = fixture();
  state.leaderHeard = false;
  const read = reads.barrier();
  tick(5_000);
  expect(state.cutOff).toBe(false);
  expect(await isSettled(read)).toBe(false);
  state.leaderHeard = true;
  reads.leaderChanged();
  answer(5, asked.at(-1));
  expect(await read).toBe("fresh");
});
