import type { FaultAction } from "./faults.ts";
import { runSeed, type SeedOptions, type SeedResult } from "./simulation.ts";

/** A case that violates, and what of it can go. */
interface Case {
  readonly plan: readonly FaultAction[];
  readonly stormSteps: number;
  readonly clients: number;
  readonly nodes: number | undefined;
}

/**
 * Takes away what a violation does not need (delta debugging, Zeller 2002): faults, the steps after it, clients, nodes.
 * @param runsMax how many runs it may take
 * @param run takes the place of `runSeed`
 * @returns the smallest case that was found, for `runSeed`
 */
export async function shrink(result: SeedResult, runsMax: number, run = runSeed): Promise<SeedOptions> {
  const { seed, violation } = result;
  let runs = 0;
  const options = (candidate: Case): SeedOptions => ({ seed, ...candidate });
  const violates = async (candidate: Case): Promise<boolean> => {
    runs += 1;
    if (runs > runsMax) return false;
    const found = (await run(options(candidate))).violation;
    return found?.invariant === violation?.invariant;
  };
  let smallest: Case = { plan: result.plan, stormSteps: result.stormSteps, clients: result.settings.clients, nodes: undefined };
  smallest = await fewerActions(smallest, violates);
  for (let clients = 0; clients < smallest.clients; clients += 1) {
    const candidate = { ...smallest, clients };
    if (await violates(candidate)) smallest = candidate;
  }
  const { voters, learners } = result.settings.shape;
  for (let nodes = 1; nodes < voters + learners; nodes += 1) {
    const candidate = { ...smallest, nodes };
    if (smallest.nodes === undefined && (await violates(candidate))) smallest = candidate;
  }
  smallest = await fewerActions(smallest, violates);
  for (let steps = smallest.stormSteps / 2; steps >= 16; steps /= 2) {
    const candidate = { ...smallest, stormSteps: Math.round(smallest.stormSteps - steps) };
    if (await violates(candidate)) smallest = candidate;
  }
  return options(smallest);
}

async function fewerActions(from: Case, violates: (candidate: Case) => Promise<boolean>): Promise<Case> {
  let smallest = from;
  for (let size = Math.ceil(from.plan.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < smallest.plan.length; ) {
      const plan = smallest.plan.toSpliced(at, size);
      const candidate = { ...smallest, plan };
      if (await violates(candidate)) smallest = candidate;
      else at += size;
    }
  }
  return smallest;
}
