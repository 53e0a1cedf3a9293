import { fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Report, type SeedReport } from "./report.ts";
import { shrink } from "./shrink.ts";
import { runSeed, type SeedResult } from "./simulation.ts";

// `npm run test:sim -- --seeds 20000 --seconds 600`: seeds over all cores. `--seed 7`: one of them, with its trace. `--seed 7 --shrink`: its smallest case.

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "20000" },
    from: { type: "string", default: "1" },
    seconds: { type: "string", default: "600" },
    seed: { type: "string" },
    steps: { type: "string" },
    shrink: { type: "boolean", default: false },
    violations: { type: "string", default: "5" },
    processes: { type: "string", default: String(availableParallelism()) },
    worker: { type: "boolean", default: false },
  },
});

const SEEDS_AT_ONCE = 8;
const SHRINK_RUNS_MAX = 400;
/** A seed takes a fraction of a second: one that takes this long never ends. */
const HUNG_MS = 40_000;

function reportOf({ seed, steps, virtualMs, hash, counts, answered, violation }: SeedResult): SeedReport {
  const found = violation === undefined ? undefined : { invariant: violation.invariant, message: violation.message };
  return { seed, steps, virtualMs, hash, counts: [...counts], answered, violation: found };
}

function hangOf(seed: number): SeedReport {
  const violation = { invariant: "a seed ends", message: `one turn of it has not ended after ${HUNG_MS / 1_000} s` };
  return { seed, steps: 0, virtualMs: 0, hash: "0", counts: [], answered: 0, violation };
}

function stormSteps(): { stormSteps?: number } {
  return values.steps === undefined ? {} : { stormSteps: Number(values.steps) };
}

async function runOne(seed: number): Promise<void> {
  const print = (line: string): void => {
    process.stdout.write(`${line}\n`);
  };
  const first = await runSeed({ seed, ...stormSteps(), ...(values.shrink ? {} : { trace: print }) });
  let shown = first;
  if (values.shrink && first.violation !== undefined) {
    const smallest = await shrink(first, SHRINK_RUNS_MAX);
    shown = await runSeed({ ...smallest, trace: print });
    print(`${first.plan.length} faults and ${first.steps} steps before; what is left:`);
    for (const { atMs, kind, target, strength } of shown.plan) {
      print(`  ${atMs.toFixed(1)} ms ${kind}, target ${target.toFixed(3)}, strength ${strength.toFixed(3)}`);
    }
  }
  const { steps, virtualMs, hash, violation } = shown;
  print(`seed ${seed}: ${steps} steps, ${(virtualMs / 1000).toFixed(1)} simulated seconds, trace ${hash}`);
  print(violation === undefined ? "no violation" : `VIOLATION of "${violation.invariant}": ${violation.message}`);
  process.exitCode = violation === undefined ? 0 : 1;
}

/** In a child: runs the seeds that come, one batch after the other. */
function serve(): void {
  process.on("message", (seeds: readonly number[]) => {
    void (async () => {
      for (const seed of seeds) process.send?.(reportOf(await runSeed({ seed, ...stormSteps() })));
      process.send?.("idle");
    })();
  });
  // A promise that nobody looks at would be a failure that nobody hears of.
  process.on("unhandledRejection", (error) => {
    throw error;
  });
  process.send?.("idle");
}

async function runMany(): Promise<void> {
  const last = Number(values.from) + Number(values.seeds) - 1;
  const violationsMax = Number(values.violations);
  const report = new Report(process.stdout);
  const endAt = performance.now() + Number(values.seconds) * 1_000;
  let next = Number(values.from);
  const work = (): readonly number[] => {
    if (performance.now() > endAt || report.violations >= violationsMax) return [];
    const seeds = Array.from({ length: Math.min(SEEDS_AT_ONCE, last - next + 1) }, (_, at) => next + at);
    next += seeds.length;
    return seeds;
  };
  const args = ["--worker", ...(values.steps === undefined ? [] : ["--steps", values.steps])];
  const children = Array.from({ length: Number(values.processes) }, () => fork(import.meta.filename, args));
  await Promise.all(
    children.map(
      (child) =>
        new Promise<void>((resolve, reject) => {
          let running: readonly number[] = [];
          // A turn that never ends lets nothing else of its process happen.
          const hung = (): void => {
            const [seed = 0] = running;
            report.add(hangOf(seed));
            child.kill("SIGKILL");
            resolve();
          };
          let watch: NodeJS.Timeout | undefined;
          child.on("message", (message) => {
            clearTimeout(watch);
            if (message === "idle") {
              running = work();
              if (running.length > 0) child.send(running);
              else child.disconnect();
            } else {
              running = running.slice(1);
              report.add(message as SeedReport);
            }
            if (running.length > 0) watch = setTimeout(hung, HUNG_MS);
          });
          child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`a process of the simulator ended with code ${code}`))));
        }),
    ),
  );
  report.end();
  process.exitCode = report.violations === 0 ? 0 : 1;
}

if (values.worker) serve();
else if (values.seed !== undefined) await runOne(Number(values.seed));
else await runMany();
