import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, startCluster } from "../harness/cluster.ts";
import { makeImage, noise, picker } from "../harness/image.ts";

const CI = process.env.CI !== undefined;
const PUSHES = CI ? 200 : 20;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster.stop());

test(`G4: each request of ${PUSHES} pushes goes to another node than the one before`, async () => {
  let turn = 0;
  const next = (): string => cluster.nodes[turn++ % 3]!.url;
  for (let i = 0; i < PUSHES; i += 1) {
    const image = makeImage(i + 1, 2, 20_000);
    await pushImage(next, `g4/app${i % 7}`, `v${i}`, image);
    await pullImage(next(), `g4/app${i % 7}`, `v${i}`, image);
  }
}, 300_000);

test("G2: a read through any node sees the write or the deletion that was just answered by another", async () => {
  const pick = picker(7);
  const image = makeImage(1001, 1, 4000);
  await pushImage(() => cluster.nodes[0]!.url, "g2/app", "base", image);
  const headers = { "content-type": image.descriptor.mediaType };
  for (let round = 0; round < 100; round += 1) {
    const body = new TextEncoder().encode(
      JSON.stringify({ ...JSON.parse(new TextDecoder().decode(image.manifest)), annotations: { round: `${round}` } }),
    );
    const url = (path: string): string => `${pick(cluster.nodes).url}/v2/g2/app/${path}`;
    expect((await ask("PUT", url("manifests/moving"), { headers, body })).status).toBe(201);
    const read = await ask("GET", url("manifests/moving"));
    expect(JSON.parse(new TextDecoder().decode(read.bytes)).annotations.round, `round ${round}`).toBe(`${round}`);
    if (round % 5 !== 0) continue;
    expect((await ask("DELETE", url("manifests/moving"))).status).toBe(202);
    expect((await ask("GET", url("manifests/moving"))).status, `deleted in round ${round}`).toBe(404);
    const tags = JSON.parse(new TextDecoder().decode((await ask("GET", url("tags/list"))).bytes)) as { tags: string[] };
    expect(tags.tags).not.toContain("moving");
  }
});

test("G6: an upload whose digest does not match leaves no blob anywhere", async () => {
  const bytes = noise(99, 50_000);
  const wrong = `sha256:${"0".repeat(64)}`;
  const begun = await ask("POST", `${cluster.nodes[0]!.url}/v2/g6/app/blobs/uploads/`);
  const put = await ask("PUT", `${cluster.nodes[1]!.url}${begun.headers.get("location")}?digest=${wrong}`, { body: bytes });
  expect(put.status).toBe(400);
  expect(JSON.parse(new TextDecoder().decode(put.bytes)).errors[0].code).toBe("DIGEST_INVALID");
  for (const node of cluster.nodes) expect((await ask("HEAD", `${node.url}/v2/g6/app/blobs/${wrong}`)).status).toBe(404);
});
