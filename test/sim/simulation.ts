import { Clients } from "./clients.ts";
import { Cluster } from "./cluster.ts";
import { FaultInjector } from "./fault-injector.ts";
import { drawPlan, type FaultAction } from "./faults.ts";
import { foundCluster } from "./founding.ts";
import { MembershipChurn } from "./membership.ts";
import { drawSettings, type Settings } from "./settings.ts";
import { Settling } from "./settling.ts";
import { type ViolationError, World } from "./world.ts";

export interface SeedOptions {
  readonly seed: number;
  /** Steps with faults, before the weather turns good. */
  readonly stormSteps?: number;
  /** Instead of the seed's own. */
  readonly plan?: readonly FaultAction[];
  readonly trace?: (line: string) => void;
}

export interface SeedResult {
  readonly seed: number;
  readonly settings: Settings;
  readonly plan: readonly FaultAction[];
  readonly steps: number;
  readonly virtualMs: number;
  readonly hash: string;
  readonly counts: ReadonlyMap<string, number>;
  readonly answered: number;
  readonly violation: ViolationError | undefined;
}

const STORM_STEPS = 2_000;

/** Runs one seed: a cluster in a storm, then in good weather until all is settled. */
export async function runSeed({ seed, stormSteps = STORM_STEPS, plan: given, trace }: SeedOptions): Promise<SeedResult> {
  const world = new World(seed);
  world.trace = trace;
  const settings = drawSettings(world.fork(4));
  const images = await foundCluster(settings.shape);
  const plan = given ?? drawPlan(world.fork(5), settings);
  const { timing, syncMsMax, writeBufferBytes } = settings;
  const cluster: Cluster = new Cluster({
    world,
    timing,
    syncMsMax,
    writeBufferBytes,
    up: (node, driver) => churn.keep(node, driver),
  });
  const churn = new MembershipChurn(cluster, settings);
  const injector = new FaultInjector(cluster, settings, churn);
  const clients = new Clients(cluster, settings);
  Object.assign(cluster.network.weather, { delayMsMin: settings.delayMsMax / 10, delayMsMax: settings.delayMsMax });
  for (const [id, image] of images) cluster.add(id, { image }).start();
  clients.start();
  churn.start();
  injector.start(plan);
  await world.run(() => world.steps >= stormSteps);
  clients.stop();
  injector.end();
  const settling = new Settling(cluster, settings, clients);
  await world.run(() => settling.done());
  if (world.violation === undefined) clients.check();
  return {
    seed,
    settings,
    plan,
    steps: world.steps,
    virtualMs: world.now,
    hash: world.hash.toString(),
    counts: cluster.counts,
    answered: clients.answered,
    violation: world.violation,
  };
}
