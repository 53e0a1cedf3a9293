import { afterEach, expect, test } from "vitest";
import { type Answer, ask, pushImage } from "../harness/client.ts";
import { type Cluster, startCluster } from "../harness/cluster.ts";
import { makeImage } from "../harness/image.ts";

const KILLS = process.env.ROADSTEAD_SLOW === "1" ? 20 : 4;

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

test(`elections are hidden: ${KILLS} kills of the leader under load and no client sees a 503`, async () => {
  // At the default ticks: the contact that a node must have is one election timeout, and those of the other tests are half as long.
  const running = await startCluster({ env: { ROADSTEAD_RAFT_TICK: "100ms" } });
  cluster = running;
  const image = makeImage(5, 1, 10_000);
  await pushImage(() => running.nodes[0]!.url, "hidden/app", "base", image);
  const headers = { "content-type": image.descriptor.mediaType };
  const wrong: string[] = [];
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
            for (const answer of [put, get]) if (answer.status > 201) wrong.push(`kill ${kill}, ${node.name}: ${describe(answer)}`);
            rounds += 1;
          }
        }),
      ),
    );
    await leader.kill("SIGKILL");
    // Half of them come back at once, as a supervisor does it, into the election or right after it; half only when all is answered.
    if (kill % 2 === 0) await load;
    await Promise.all([load, leader.start()]);
  }
  expect(rounds).toBe(KILLS * 36);
  expect(wrong).toEqual([]);
}, 300_000);

function describe({ status, bytes }: Answer): string {
  return `${status} ${new TextDecoder().decode(bytes)}`;
}
