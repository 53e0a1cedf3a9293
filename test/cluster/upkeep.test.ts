import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { digestOf } from "../../src/core/digest.ts";
import { pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, type ClusterNode, type ClusterStatus, startCluster } from "../harness/cluster.ts";
import { endOf } from "../harness/command.ts";
import { makeImage } from "../harness/image.ts";

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

const COPIES = 3;

function copiesIn({ nodes }: ClusterStatus, names: readonly string[]): number {
  return nodes.filter(({ name }) => names.includes(name)).reduce((sum, { copies }) => sum + copies, 0);
}

function atRest({ underReplicated, moving, warnings }: ClusterStatus): boolean {
  return underReplicated.blobs === 0 && moving.blobs === 0 && !warnings.some((warning) => warning.includes("fewer copies"));
}

async function filesOf({ data }: ClusterNode): Promise<readonly string[]> {
  const entries = await readdir(join(data, "blobs"), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name)).map((entry) => join(entry.parentPath, entry.name));
}

/** It takes long: in CI, and where it is asked for. */
const SLOW = process.env.ROADSTEAD_SLOW === "1";

test.runIf(SLOW)(
  "G1, G6: a fourth node takes its share; dead for repairAfter it is stood in for, and back it has its own again; flipped bytes are scrubbed out and healed",
  async () => {
    const running = await startCluster({
      env: {
        ROADSTEAD_CLUSTER_DOWN_AFTER: "2s",
        ROADSTEAD_DURABILITY_REPAIR_AFTER: "1s",
        ROADSTEAD_DURABILITY_SCRUB_EVERY: "2s",
      },
    });
    cluster = running;
    const names = ["n1", "n2", "n3"];
    const images = Array.from({ length: 8 }, (_, at) => makeImage(at + 1, 3, 20_000));
    for (const [at, image] of images.entries()) await pushImage(() => running.nodes[at % 3]!.url, "team/app", `v${at}`, image);
    const blobs = new Set(images.flatMap((image) => [...image.blobs.keys()])).size;

    const fourth = await running.grow("n4");
    const all = [...names, "n4"];
    const grown = await running.statusThat(
      (status) => atRest(status) && copiesIn(status, ["n4"]) > 0 && copiesIn(status, all) === COPIES * blobs,
      "the fourth node did not get its share",
    );
    const share = copiesIn(grown, ["n4"]);
    // three of four hold each blob
    expect(share).toBeGreaterThan(blobs * 0.5);
    expect(share).toBeLessThan(blobs);

    await fourth.kill("SIGKILL");
    await running.statusThat((status) => copiesIn(status, names) === COPIES * blobs, "its copies were not made again");
    expect(copiesIn(await running.status(), ["n4"])).toBe(share);
    await fourth.start();
    const back = await running.statusThat(
      (status) => atRest(status) && copiesIn(status, all) === COPIES * blobs,
      "the stand-ins did not go",
    );
    expect(copiesIn(back, ["n4"])).toBe(share);

    const victim = running.nodes[1]!;
    const [file = ""] = await filesOf(victim);
    const bytes = await readFile(file);
    bytes[bytes.byteLength >> 1]! ^= 16;
    await writeFile(file, bytes);
    const healed = await running.statusThat((status) => status.quarantined === 1 && atRest(status), "the scrub did not find the bad copy");
    expect(copiesIn(healed, all)).toBe(COPIES * blobs);
    const node = healed.nodes.find(({ name }) => name === victim.name);
    expect(node).toMatchObject({ quarantined: 1, scrub: { endedAt: expect.any(String) } });
    expect(await readdir(join(victim.data, "quarantine"))).toHaveLength(1);
    const shown = await endOf(["status", "--data", victim.data]);
    expect(shown.stdout).toMatch(/^quarantined {3}1 bad copy$/m);
    expect(shown.stdout).toMatch(/^! bad copies were found and lie in quarantine\//m);
    const trail = await endOf(["audit", "--data", victim.data]);
    expect(trail.stdout).toMatch(/copy\.quarantined/);
    for (const path of await filesOf(victim)) expect(digestOf(await readFile(path))).toBe(`sha256:${path.slice(-64)}`);
    for (const each of running.nodes) for (const [at, image] of images.entries()) await pullImage(each.url, "team/app", `v${at}`, image);
  },
  400_000,
);
