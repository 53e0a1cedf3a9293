import { parseArgs } from "node:util";
import { seededRandom } from "../../src/core/random.ts";
import { checkEnd, checkRefusals, checkTags } from "./checks.ts";
import { Clients } from "./clients.ts";
import { HostCluster } from "./host-cluster.ts";
import { readErrors } from "./logs.ts";
import { runNemesis } from "./nemesis.ts";
import { whyNoHosts } from "./network.ts";
import { RunRecord } from "./record.ts";
import { SCENARIOS, Stage } from "./scenarios.ts";

// `npm run test:hosts -- --minutes M --seed X [--hosts 5]`: scenarios, then a nemesis over hosts with addresses and disks of their own, and what has
// to hold after it. `--minutes 0` ends after the scenarios; `--scenario NAME` runs one of them, `none` none. `--keep` keeps the logs of a good run too.

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "4" },
    seed: { type: "string", default: "1" },
    hosts: { type: "string", default: "5" },
    scenario: { type: "string", default: "all" },
    keep: { type: "boolean", default: false },
    clients: { type: "string", default: "8" },
  },
});

const CONVERGED_MS = 120_000;
const COPIES = 3;
/** What takes minutes in the world is to happen while the nemesis looks. */
const SETTINGS = {
  ROADSTEAD_CLUSTER_DOWN_AFTER: "3s",
  ROADSTEAD_DURABILITY_REPAIR_AFTER: "5s",
  ROADSTEAD_CLUSTER_REPLACE_AFTER: "5s",
};

const startedMs = performance.now();

function print(text: string): void {
  const at = ((performance.now() - startedMs) / 1_000).toFixed(1).padStart(7);
  process.stdout.write(`${at}  ${text}\n`);
}

function table(title: string, counts: ReadonlyMap<string, number>): void {
  process.stdout.write(`${title}\n`);
  for (const [what, count] of [...counts].sort()) process.stdout.write(`${String(count).padStart(7)}  ${what}\n`);
}

/** One after the other on the same hosts: each begins and ends with a whole cluster. */
async function runScenarios(cluster: HostCluster, record: RunRecord, seed: number): Promise<void> {
  const stage = new Stage(cluster, seed);
  for (const { key, title, run } of SCENARIOS.filter(({ key }) => values.scenario === "all" || values.scenario === key)) {
    try {
      print(`ok ${key}: ${title}: ${await run(stage)}`);
    } catch (error) {
      record.violation(`scenario ${key}, ${title}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

async function storm(cluster: HostCluster, record: RunRecord, seed: number): Promise<void> {
  const beganMs = performance.now();
  const clients = new Clients({ record, hosts: () => cluster.served, seed, count: Number(values.clients) });
  const untilMs = beganMs + Number(values.minutes) * 60_000;
  try {
    await runNemesis({ cluster, record, random: seededRandom(seed), untilMs });
  } finally {
    await clients.stop();
  }
  const endedMs = performance.now();
  print("all is mended; waiting until the cluster converges");
  await cluster.converged(CONVERGED_MS);
  print(`converged after ${((performance.now() - endedMs) / 1_000).toFixed(1)} s; reading everything through every host`);
  await checkEnd(record, cluster.members, clients.tags, COPIES);
  checkTags(record);
  const refusals = checkRefusals(record);
  table("operations", record.counts);
  table("faults", record.faults);
  const operations = record.history.length;
  print(`G2: ${operations} operations on ${clients.tags.length} tags checked`);
  print(`G3: ${refusals.count} writes at hosts that were cut off, the slowest refusal took ${Math.round(refusals.worstMs)} ms`);
  print(`longest time without a write: ${(record.longestWithoutWrite(beganMs, endedMs) / 1_000).toFixed(1)} s`);
}

async function main(): Promise<number> {
  const keys = ["all", "none", ...SCENARIOS.map(({ key }) => key)];
  if (!keys.includes(values.scenario)) {
    process.stdout.write(`--scenario is one of ${keys.join(", ")}\n`);
    return 2;
  }
  const reason = whyNoHosts();
  if (reason !== undefined) {
    process.stdout.write(`skipped: ${reason}\n`);
    return process.env.CI === undefined ? 0 : 1;
  }
  const cluster = await HostCluster.prepare(SETTINGS);
  const interrupted = (): void => void cluster.remove({ keepLogs: false }).finally(() => process.exit(130));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, interrupted);
  const record = new RunRecord(print);
  await runAll(cluster, record);
  table("errors that the nodes logged", await readErrors(record, cluster.hosts));
  const failed = record.violations.length > 0;
  const logs = await cluster.remove({ keepLogs: failed || values.keep });
  if (logs !== undefined) print(`logs: ${logs}`);
  print(`seed ${values.seed}: ${record.violations.length} violations`);
  return failed ? 1 : 0;
}

async function runAll(cluster: HostCluster, record: RunRecord): Promise<void> {
  const seed = Number(values.seed);
  try {
    await cluster.found(Number(values.hosts));
    print(`${values.hosts} hosts, each with its address: ${cluster.members.map(({ url }) => url).join(" ")}`);
    await runScenarios(cluster, record, seed);
    if (Number(values.minutes) > 0) await storm(cluster, record, seed);
  } catch (error) {
    record.violation(`the run could not go on: ${error instanceof Error ? error.message : String(error)}`);
  }
}

process.exitCode = await main();
