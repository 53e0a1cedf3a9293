import { afterAll, beforeAll, expect, test } from "vitest";
import { digestOf } from "../../src/core/digest.ts";
import { ask, pushBlob } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { noise } from "../harness/image.ts";

/** Two copies of each blob on five nodes. */
let running: Cluster;
beforeAll(async () => {
  running = await startCluster({ nodes: 5, env: { ROADSTEAD_DURABILITY_COPIES: "2" } });
}, 120_000);
afterAll(async () => {
  for (const node of running.nodes) if (node.running) process.kill(node.pid, "SIGCONT");
  await running.stop();
});

/** How many copies the catalog lists for each node, by its name. */
async function copies(): Promise<ReadonlyMap<string, number>> {
  const { nodes } = await running.status();
  return new Map(nodes.map(({ name, copies: count }) => [name, count]));
}

interface Placed {
  readonly holders: readonly ClusterNode[];
  readonly others: readonly ClusterNode[];
  /** Where a node serves the blob. */
  readonly url: (node: ClusterNode) => string;
}

/** Pushes a blob and waits until the catalog lists both of its copies. */
async function placed(seed: number): Promise<Placed> {
  const before = await copies();
  const digest = await pushBlob(() => running.nodes[0]!.url, "near/app", noise(seed, 200_000));
  for (;;) {
    const now = await copies();
    const holders = running.nodes.filter(({ name }) => now.get(name) !== before.get(name));
    if (holders.length < 2) continue;
    const others = running.nodes.filter((node) => !holders.includes(node));
    return { holders, others, url: (node) => `${node.url}/v2/near/app/blobs/${digest}` };
  }
}

async function pulled(url: string): Promise<void> {
  const answer = await ask("GET", url);
  expect(answer.status).toBe(200);
  expect(url).toContain(digestOf(answer.bytes));
}

test("pulls through nodes that lack the blob come through while one of its two holders hangs", async () => {
  const leader = await running.leader();
  const { holders, others, url } = await placed(1);
  const hung = holders.find((node) => node !== leader)!;
  process.kill(hung.pid, "SIGSTOP");
  for (const node of others) await pulled(url(node));
  process.kill(hung.pid, "SIGCONT");
});

test("G3: a blob comes from a cached copy while every holder of it is down, through a node that never had it and is cut off", async () => {
  const { others, url } = await placed(2);
  const [cacher, puller] = others as [ClusterNode, ClusterNode, ...ClusterNode[]];
  await pulled(url(cacher));
  expect((await ask("HEAD", url(puller))).status).toBe(200); // it has heard of the blob
  await Promise.all(running.nodes.filter((node) => node !== cacher && node !== puller).map((node) => node.kill("SIGKILL")));
  await puller.logged((line) => line.msg === "cut off: no contact with a majority of voters");
  let answer = await ask("GET", url(puller)).catch(() => undefined);
  while (answer?.status !== 200) answer = await ask("GET", url(puller)).catch(() => undefined); // where it has just started, its routing fills yet
  expect(url(puller)).toContain(digestOf(answer.bytes));
  expect(answer.headers.get("warning")).toMatch(/^110 /);
});
