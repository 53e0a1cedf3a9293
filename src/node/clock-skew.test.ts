import { expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { MemoryConsensus } from "../consensus/memory.ts";
import type { Log } from "../core/log.ts";
import { silentLog } from "../core/log.ts";
import { factsOf, SECRET_HASH } from "../metadata/scenario.ts";
import { skewed, skewWarning, watchSkew } from "./clock-skew.ts";

const VITALS = { appliedIndex: 1, blobs: 0, bytes: 0, cutOff: false, disk: undefined, upkeep: undefined };

test("a clock is ahead by what is certain: the time that the answer took is taken off", async () => {
  const clock = new ManualClock();
  const answer = (aheadMs: number) =>
    skewed(clock, async () => {
      clock.advance(100);
      const wallMs = clock.wallMs() + aheadMs;
      clock.advance(100);
      return { ...VITALS, wallMs };
    });
  expect([(await answer(0)).skewMs, (await answer(100)).skewMs, (await answer(300)).skewMs, (await answer(-300)).skewMs]).toEqual([
    0, 0, 200, -200,
  ]);
  expect((await skewed(clock, async () => undefined)).skewMs).toBeUndefined();
});

test("a minute is passed over, more is warned of in words", () => {
  expect([skewWarning("n2", 60_000), skewWarning("n2", undefined), skewWarning("n2", -60_000)]).toEqual([undefined, undefined, undefined]);
  expect(skewWarning("n2", 600_000)).toContain("the clock of n2 is 10 min ahead of that of this node");
  expect(skewWarning("n2", -7_200_000)).toContain("the clock of n2 is 2 h behind that of this node");
});

test("each member whose clock is wrong is logged once, and once more when it is right", async () => {
  const clock = new ManualClock();
  const consensus = new MemoryConsensus();
  await consensus.propose({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1) });
  await consensus.propose({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 9, ttlMs: 1_000 });
  for (const node of [2, 3]) {
    await consensus.propose({ type: "member.add", member: factsOf(node), token: { id: "t", hash: SECRET_HASH } });
  }
  const lines: string[] = [];
  const log: Log = {
    ...silentLog,
    warn: (fields) => lines.push(`warn ${String(fields.member)}`),
    info: (fields) => lines.push(`info ${String(fields.member)}`),
  };
  let aheadMs = 600_000;
  const answered = Promise.withResolvers<void>();
  let answers = 0;
  const ask = async (member: { readonly name: string }) => {
    answers += 1;
    if (answers === 6) answered.resolve();
    return { ...VITALS, wallMs: clock.wallMs() + (member.name === "node-2" ? aheadMs : 0) };
  };
  const end = watchSkew({ consensus, ask, clock, log });
  clock.advance(60_000);
  clock.advance(60_000);
  await new Promise((resolve) => setImmediate(resolve));
  aheadMs = 0;
  clock.advance(60_000);
  await answered.promise;
  await new Promise((resolve) => setImmediate(resolve));
  end();
  expect(lines).toEqual(["warn node-2", "info node-2"]);
});
