import { afterEach, expect, test } from "vitest";
import { pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, startCluster } from "../harness/cluster.ts";
import { makeImage } from "../harness/image.ts";

const ROUNDS = process.env.CI === undefined ? 8 : 100;

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

test(`G1: the node that answered 201 is killed at once, and the others still give every byte (${ROUNDS} rounds)`, async () => {
  const running = await startCluster();
  cluster = running;
  let back: Promise<void> | undefined; // the last victim, which starts while the next one is pushed to
  for (let round = 0; round < ROUNDS; round += 1) {
    const victim = running.nodes[round % 3]!;
    const image = makeImage(round + 1, 1, 60_000);
    await Promise.all([pushImage(() => victim.url, "g1/app", `r${round}`, image), back]);
    await victim.kill("SIGKILL");
    for (const other of running.nodes) if (other !== victim) await pullImage(other.url, "g1/app", `r${round}`, image);
    back = victim.start();
  }
  await back;
}, 600_000);

test("G1: leader and follower killed in the middle of pushes lose nothing acknowledged, and catch up", async () => {
  const running = await startCluster();
  cluster = running;
  const acknowledged: { tag: string; seed: number }[] = [];
  const leader = await running.leader();
  const follower = running.nodes.find((node) => node !== leader)!;
  const third = running.nodes.find((node) => node !== leader && node !== follower)!;
  for (const [i, victim] of [follower, leader].entries()) {
    const pushing = Promise.all(
      Array.from({ length: 12 }, async (_, k) => {
        const seed = 100 * (i + 1) + k;
        await pushImage(() => third.url, "g1/live", `t${seed}`, makeImage(seed, 1, 30_000));
        acknowledged.push({ tag: `t${seed}`, seed });
      }),
    );
    await victim.kill("SIGKILL");
    await pushing;
    await victim.start();
  }
  expect(acknowledged).toHaveLength(24);
  for (const node of running.nodes)
    for (const { tag, seed } of acknowledged) await pullImage(node.url, "g1/live", tag, makeImage(seed, 1, 30_000));
});
