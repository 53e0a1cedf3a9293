import { expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { LeaderSchedule } from "./leader-schedule.ts";

test("it is time so long after it was done, or after this node began to lead; a node that does not lead has none", () => {
  const clock = new ManualClock();
  let leads = false;
  let runs = 0;
  const run = (): void => {
    runs += 1;
  };
  const schedule = new LeaderSchedule({ membership: { leads: () => leads }, clock, everyMs: 60_000, run });
  clock.advance(120_000);
  expect(runs).toBe(0);
  leads = true;
  clock.advance(59_000);
  expect(runs).toBe(0);
  clock.advance(2_000);
  expect(runs).toBe(1);
  schedule.ran();
  clock.advance(59_000);
  expect(runs).toBe(1);
  leads = false;
  clock.advance(2_000);
  leads = true;
  clock.advance(59_000);
  expect(runs).toBe(1);
  clock.advance(2_000);
  schedule.stop();
  clock.advance(120_000);
  expect(runs).toBe(2);
});
