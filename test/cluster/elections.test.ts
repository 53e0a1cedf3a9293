import { afterEach, expect, test } from "vitest";
import { ask, pushImage } from "../harness/client.ts";
import { type Cluster, startCluster } from "../harness/cluster.ts";
import { makeImage } from "../harness/image.ts";

const KILLS = 20;

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

test(`elections are hidden: ${KILLS} kills of the leader under load and no client sees a 503`, async () => {
  const running = await startCluster();
  cluster = running;
  const image = makeImage(5, 1, 10_000);
  await pushImage(() => running.nodes[0]!.url, "hidden/app", "base", image);
  const headers = { "content-type": image.descriptor.mediaType };
  const seen = new Map<number, number>();
  let rounds = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const leader = await running.leader();
    const others = running.nodes.filter((node) => node !== leader);
    const load = Promise.all(
      others.flatMap((node) =>
        Array.from({ length: 3 }, async (_, k) => {
          for (let i = 0; i < 6; i += 1) {
            const put = await ask("PUT", `${node.url}/v2/hidden/app/manifests/k${kill}-${k}-${i}`, { headers, body: image.manifest });
            const get = await ask("GET", `${node.url}/v2/hidden/app/manifests/k${kill}-${k}-${i}`);
            for (const { status } of [put, get]) seen.set(status, (seen.get(status) ?? 0) + 1);
            rounds += 1;
          }
        }),
      ),
    );
    await leader.kill("SIGKILL");
    await load;
    await leader.start();
  }
  expect(rounds).toBe(KILLS * 36);
  expect([...seen.keys()].sort()).toEqual([200, 201]);
}, 300_000);
