import { Clients } from "./clients.ts";
import { Cluster } from "./cluster.ts";
import { FaultInjector } from "./fault-injector.ts";
import { drawPlan, type FaultAction } from "./faults.ts";
import { type FoundedCluster, foundCluster } from "./founding.ts";
import { MembershipChurn } from "./membership.ts";
import { drawSettings, type Settings } from "./settings.ts";
import { Settling } from "./settling.ts";
import { ViolationError, World } from "./world.ts";

export interface SeedOptions {
  readonly seed: number;
  /** Steps with faults, before the weather turns good. */
  readonly stormSteps?: number;
  /** Instead of the seed's own. */
  readonly plan?: readonly FaultAction[] | undefined;
  readonly clients?: number | undefined;
  /** At most so many voters and learners to begin with. */
  readonly nodes?: number | undefined;
  readonly trace?: (line: string) => void;
}

export interface SeedResult {
  readonly seed: number;
  readonly settings: Settings;
  readonly plan: readonly FaultAction[];
  readonly stormSteps: number;
  readonly steps: number;
  readonly virtualMs: number;
  readonly hash: string;
  readonly counts: ReadonlyMap<string, number>;
  readonly answered: number;
  readonly violation: ViolationError | undefined;
}

const NOTHING: FoundedCluster = new Map();
const STORM_STEPS = 1_500;
/** Good weather lasts at least so long: with the storm before it a seed has 2,000 steps. */
const CALM_STEPS = 500;

/** Runs one seed: a cluster in a storm, then in good weather until all is settled. */
export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const { seed, stormSteps = STORM_STEPS, trace } = options;
  const world = new World(seed);
  world.trace = trace;
  const drawn = settingsOf(world, options);
  const plan = options.plan ?? drawPlan(world.fork(5), drawn);
  const settings = { ...drawn, keepsImages: plan.some(({ kind }) => kind === "stale") };
  const images = await foundCluster(settings.shape).catch((error: unknown) => {
    world.fail(new ViolationError("a cluster can be founded", error instanceof Error ? error.message : String(error)));
    return NOTHING;
  });
  const cluster: Cluster = new Cluster({ world, settings, up: (node, driver) => churn.keep(node, driver) });
  const churn = new MembershipChurn(cluster, settings);
  const clients = new Clients(cluster, settings);
  const injector = new FaultInjector(cluster, settings, churn, clients);
  for (const [id, image] of images) cluster.add(id, { image }).start();
  clients.start();
  churn.start();
  injector.start(plan);
  await world.run(() => world.steps >= stormSteps);
  clients.stop();
  injector.end();
  const settling = new Settling(cluster, settings, clients, stormSteps + CALM_STEPS);
  await world.run(() => settling.done());
  if (world.violation === undefined) clients.check();
  const { steps, now: virtualMs, violation } = world;
  const hash = world.hash.toString();
  return { seed, settings, plan, stormSteps, steps, virtualMs, hash, counts: cluster.counts, answered: clients.answered, violation };
}

function settingsOf(world: World, { clients, nodes }: SeedOptions): Settings {
  const drawn = drawSettings(world.fork(4));
  const { voters, learners } = drawn.shape;
  const most = nodes ?? voters + learners;
  const shape = { voters: Math.min(voters, most), learners: Math.min(learners, Math.max(0, most - voters)) };
  return { ...drawn, shape, clients: clients ?? drawn.clients };
}
