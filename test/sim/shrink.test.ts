import { expect, test } from "vitest";
import { drawPlan } from "./faults.ts";
import { drawSettings } from "./settings.ts";
import { shrink } from "./shrink.ts";
import { runSeed, type SeedOptions, type SeedResult } from "./simulation.ts";
import { ViolationError, World } from "./world.ts";

const STORM_STEPS = 400;
const CRASHES = ["crash", "crashAtSync", "crashAll", "crashAtInstall", "crashLoop"];
/** They end a process too, where the others can do without it. */
const DAMAGES = ["rotLog", "rotTable", "rotCatalog", "stale", "wipe"];

/** The real simulator with a rule that is none: no node may crash. */
async function runForbiddingCrashes(options: SeedOptions): Promise<SeedResult> {
  const result = await runSeed(options);
  if ((result.counts.get("crash") ?? 0) === 0) return result;
  return { ...result, violation: new ViolationError("no node crashes", "one did") };
}

/** The first seed whose plan has many faults and a crash early on, and leaves the disks as they are. */
function seedWithCrash(): number {
  for (let seed = 1; ; seed += 1) {
    const world = new World(seed);
    const settings = drawSettings(world.fork(4));
    const plan = drawPlan(world.fork(5), settings);
    const early = plan.some(({ kind, atMs }) => kind === "crash" && atMs < 500);
    const damaged = plan.some(({ kind }) => DAMAGES.includes(kind));
    if (early && !damaged && plan.length > 30 && settings.shape.voters === 3) return seed;
  }
}

test("of a violation that needs one crash alone, one crash is left: no other fault, no client, few steps", async () => {
  const first = await runForbiddingCrashes({ seed: seedWithCrash(), stormSteps: STORM_STEPS });
  expect(first.violation?.invariant).toBe("no node crashes");
  const smallest = await shrink(first, 150, runForbiddingCrashes);
  expect(smallest.plan?.map(({ kind }) => CRASHES.includes(kind))).toEqual([true]);
  expect(smallest).toMatchObject({ clients: 0, nodes: 1 });
  expect(smallest.stormSteps).toBeLessThan(STORM_STEPS);
  const again = await runForbiddingCrashes(smallest);
  expect(again.violation?.invariant).toBe("no node crashes");
});

test("what does not violate again is not taken for smaller", async () => {
  const first = await runForbiddingCrashes({ seed: seedWithCrash(), stormSteps: STORM_STEPS });
  const smallest = await shrink(first, 20, async (options) => ({
    ...(await runSeed({ ...options, stormSteps: 16 })),
    violation: undefined,
  }));
  expect(smallest).toMatchObject({ plan: first.plan, stormSteps: STORM_STEPS, clients: first.settings.clients });
});
