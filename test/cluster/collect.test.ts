import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import type { Digest } from "../../src/core/digest.ts";
import { ask, pullImage, pushBlob, pushImage } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { endOf } from "../harness/command.ts";
import { makeImage, type TestImage } from "../harness/image.ts";

/** What takes long runs in CI, and where it is asked for. */
const SLOW = process.env.ROADSTEAD_SLOW === "1";
const PATIENCE_MS = 60_000;
const POLL_MS = 50;
/** A lease, grace and trash of seconds: read when the cluster is made. */
const HASTE = {
  ROADSTEAD_GC_EVERY: "200ms",
  ROADSTEAD_GC_LEASE: "2s",
  ROADSTEAD_GC_GRACE: "500ms",
  ROADSTEAD_GC_TRASH: "500ms",
  ROADSTEAD_UPLOADS_EXPIRE_AFTER: "2s",
  ROADSTEAD_CLUSTER_DOWN_AFTER: "2s",
};

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

/** Blobs on the disk of a node, by what lies there. */
async function filesOf({ data }: ClusterNode): Promise<readonly string[]> {
  const names = await readdir(join(data, "blobs"), { recursive: true, withFileTypes: true });
  return names.filter((entry) => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name)).map(({ name }) => `sha256:${name}`);
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !(await holds()); await pause(POLL_MS)) {
    if (performance.now() > end) throw new Error(`it did not come true in time: ${what}`);
  }
}

const blobsOf = (image: TestImage): readonly Digest[] => [...image.blobs.keys()] as Digest[];
const anyFile = async (nodes: readonly ClusterNode[], images: readonly TestImage[]): Promise<boolean> => {
  const files = new Set((await Promise.all(nodes.map(filesOf))).flat());
  return images.some((image) => blobsOf(image).some((digest) => files.has(digest)));
};

test.runIf(SLOW)(
  "G5: what is deleted goes from every disk while pushes and pulls go on, through a killed leader and a node that was away; what is kept stays",
  async () => {
    const running = await startCluster({ env: HASTE });
    cluster = running;
    const [first, second, third] = running.nodes as [ClusterNode, ClusterNode, ClusterNode];
    const kept = makeImage(1, 3, 50_000);
    const gone = Array.from({ length: 6 }, (_, at) => makeImage(10 + at, 3, 50_000));
    await pushImage(() => first.url, "team/app", "kept", kept);
    for (const [at, image] of gone.entries()) await pushImage(() => second.url, "team/app", `gone${at}`, image);

    // pushed again and again, and never without its manifest for longer than its lease
    let pushes = 0;
    const ending = new AbortController();
    const pushing = (async () => {
      while (!ending.signal.aborted) {
        const image = makeImage(100 + (pushes % 3), 2, 30_000);
        const node = running.nodes.filter(({ running: alive }) => alive)[pushes % 2]!;
        // while the leader is killed a client asks again, as docker does
        await pushImage(() => node.url, "team/busy", "latest", image).then(
          () => pullImage(node.url, "team/busy", image.descriptor.digest, image),
          () => pause(POLL_MS),
        );
        pushes += 1;
      }
    })();
    pushing.catch(() => undefined);

    await third.kill("SIGKILL"); // away for the whole run
    for (const image of gone)
      expect((await ask("DELETE", `${first.url}/v2/team/app/manifests/${image.descriptor.digest}`)).status).toBe(202);
    await until("the deleted images are gone from the disks of two nodes", async () => !(await anyFile([first, second], gone)));
    await third.start();
    await until("and from that of the node that was away", async () => !(await anyFile([third], gone)));
    const leader = await running.leader();
    const late = makeImage(50, 3, 50_000);
    await pushImage(() => first.url, "team/app", "late", late);
    const left = running.nodes.filter((node) => node !== leader);
    expect((await ask("DELETE", `${left[0]!.url}/v2/team/app/manifests/${late.descriptor.digest}`)).status).toBe(202);
    await leader.kill("SIGKILL");
    await until("a successor of the leader goes on", async () => !(await anyFile(left, [late])));
    await leader.start();
    await until("the one that was killed catches up", async () => !(await anyFile([leader], [late])));
    ending.abort();
    await pushing;
    expect(pushes).toBeGreaterThan(3);
    for (const node of running.nodes) await pullImage(node.url, "team/app", "kept", kept);
    // the counts are those of the manifests, and the disks hold what the records list and nothing else
    const verified = async (): Promise<string> => (await endOf(["gc", "verify", "--data", first.data])).stdout;
    await until("what is under way on the disks has ended", async () => (await verified()).endsWith("All agree.\n"));
    expect(await verified()).toMatch(/^n3 +\d+ +\d+$/m);
    // pushed again it is there, as if it had never gone
    await pushImage(() => first.url, "team/app", "again", gone[0]!);
    for (const node of running.nodes) await pullImage(node.url, "team/app", "again", gone[0]!);
  },
);

test("gc: held nothing goes; a dry run tells what would; a run by hand frees it and stands in the history", async () => {
  const running = await startCluster({ nodes: 1, env: { ...HASTE, ROADSTEAD_GC_EVERY: "1h" } });
  cluster = running;
  const [node] = running.nodes as [ClusterNode];
  const gc = async (...args: readonly string[]) => endOf(["gc", ...args, "--data", node.data]);
  const bytes = Buffer.alloc(100_000, 7);
  await pushBlob(() => node.url, "team/app", bytes);
  // no manifest names it: it goes once its lease is over
  const dry = async (): Promise<{ blobs: number }> => JSON.parse((await gc("run", "--dry-run", "--json")).stdout) as { blobs: number };
  await until("the lease of the upload is over", async () => (await dry()).blobs === 1);
  expect((await gc("hold", "--reason", "an audit")).stdout).toContain("held: an audit");
  expect(await gc("run")).toMatchObject({ code: 1, stderr: expect.stringContaining("is held (an audit): `roadstead gc release` first") });
  expect(await filesOf(node)).toHaveLength(1);
  expect((await gc("release")).stdout).toContain("waits for its time");
  expect(await gc("run")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^0 manifests purged, 1 links and 1 blobs removed\.\nNODE +FREED\nn1 +97\.7 KiB\n$/),
  });
  expect(await filesOf(node)).toEqual([]);
  expect((await gc("status")).stdout).toMatch(
    /^collector +waits for its time\ncondemned +0\n\nRUN +MANIFESTS +LINKS +BLOBS +FREED\n\S+ +0 +1 +1 +97\.7 KiB\n$/,
  );
});

test("gc verify: a copy that is gone from a disk and a file that nobody knows are found, and the exit code says so", async () => {
  const running = await startCluster({ nodes: 2, env: { ROADSTEAD_GC_EVERY: "1h" } });
  cluster = running;
  const [first, second] = running.nodes as [ClusterNode, ClusterNode];
  const image = makeImage(1, 1, 30_000);
  await pushImage(() => first.url, "team/app", "v1", image);
  const verify = () => endOf(["gc", "verify", "--data", first.data]);
  await until("both copies have settled", async () => /^n2 +2 +2$/m.test((await verify()).stdout));
  expect(await verify()).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^1 manifests, 2 links and 2 blobs were looked at\.[^!]*All agree\.\n$/),
  });
  const digest = blobsOf(image)[0]!;
  const path = join(second.data, "blobs", "sha256", digest.slice(7, 9), digest.slice(7));
  const stray = `${"0".repeat(63)}1`;
  await mkdir(join(second.data, "blobs", "sha256", "00"), { recursive: true });
  await rename(path, join(second.data, "blobs", "sha256", "00", stray));
  expect(await verify()).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(new RegExp(`! n2 has no file of ${digest}.*\n! n2 has a file of sha256:${stray}`)),
    stderr: expect.stringContaining("2 things are not as they must be"),
  });
});
