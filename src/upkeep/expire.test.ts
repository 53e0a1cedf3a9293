import { expect, test } from "vitest";
import type { Clock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { startExpiring } from "./expire.ts";

test("idle uploads are dropped at each period, one sweep at a time, and a failure does not end it", async () => {
  let tick: () => void = () => undefined;
  let stopped = false;
  const clock: Clock = {
    wallMs: () => 0,
    monotonicMs: () => 0,
    after: () => () => undefined,
    every: (_periodMs, run) => {
      tick = run;
      return () => {
        stopped = true;
      };
    },
  };
  const answers: (() => Promise<number>)[] = [async () => 2, () => Promise.reject(new Error("disk")), async () => 0];
  let sweeps = 0;
  const uploads = { expire: () => answers[sweeps++]!() };
  const expiring = startExpiring({ uploads, clock, log: silentLog });
  for (let round = 1; round <= 3; round += 1) {
    tick();
    tick();
    await expiring.idle();
    expect(sweeps).toBe(round);
  }
  expiring.stop();
  expect(stopped).toBe(true);
});
