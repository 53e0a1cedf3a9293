import { expect, test } from "vitest";
import { runSeed } from "./simulation.ts";

/** A slice of what `npm run test:sim` does. */
const SEEDS = Number(process.env.ROADSTEAD_SIM_SEEDS ?? 20);
const FIRST = Number(process.env.ROADSTEAD_SIM_FIRST ?? 1);

test(`G1, G2, G8: ${SEEDS} simulated clusters keep their promises through crashes, partitions, bad disks and changing members`, async () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
    const { violation } = await runSeed({ seed });
    expect(violation?.message, `seed ${seed}, "${violation?.invariant}"`).toBeUndefined();
  }
});

test("the same seed goes the same way, another goes another way", async () => {
  const options = { stormSteps: 800 };
  const first = await runSeed({ seed: 21, ...options });
  const again = await runSeed({ seed: 21, ...options });
  const other = await runSeed({ seed: 22, ...options });
  expect(again.hash).toBe(first.hash);
  expect([again.steps, again.answered, [...again.counts]]).toEqual([first.steps, first.answered, [...first.counts]]);
  expect(other.hash).not.toBe(first.hash);
});
