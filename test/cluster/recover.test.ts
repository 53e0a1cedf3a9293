import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { ask, pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, type ClusterNode, type ClusterStatus, startCluster } from "../harness/cluster.ts";
import { endOf } from "../harness/command.ts";
import { makeImage } from "../harness/image.ts";

/** Nobody is to be sent elsewhere before a node stops. */
const AT_ONCE = { ROADSTEAD_SHUTDOWN_DELAY: "1ms" };

const SLOW = process.env.ROADSTEAD_SLOW === "1" || process.env.CI !== undefined;

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

const begins =
  (start: string) =>
  ({ msg }: Record<string, unknown>): boolean =>
    typeof msg === "string" && msg.startsWith(start);

/** Asks again at once: each question takes its time. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

function copiesOn({ name }: ClusterNode, { nodes }: ClusterStatus): number | undefined {
  return nodes.find((node) => node.name === name)?.copies;
}

/** On the disk that it had when its cluster was recovered without it: it may end before it has said that it is ready. */
async function comesBack(node: ClusterNode): Promise<void> {
  await node.start().catch(() => undefined);
  await node.logged(begins("this node's cluster lost its quorum and was recovered without it"));
}

/** Without a majority the survivors are cut off within an election's time. */
async function cutOff(node: ClusterNode): Promise<void> {
  await node.logged(begins("cut off: no contact with a majority"));
}

test.runIf(SLOW)(
  "G1: two of three are lost with their disks; recover on the third brings back every acknowledged tag, and writes",
  async () => {
    const running = await startCluster({ env: AT_ONCE });
    cluster = running;
    const survivor = (await running.leader()) as ClusterNode;
    const lost = running.nodes.filter((node) => node !== survivor);
    const names = lost.map(({ name }) => name).join(",");
    const run = (...args: readonly string[]) => endOf([...args, "--data", survivor.data]);
    const image = makeImage(1, 2, 60_000);
    await pushImage(() => lost[0]!.url, "team/app", "v1", image);
    await until(async () => copiesOn(survivor, await running.status()) === image.blobs.size); // two are durable at the 201, the third follows
    const oldToken = await running.token();
    const { clusterId } = await running.status(survivor);
    expect(await run("recover", "--yes-i-have-lost", names)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("the cluster is alive"),
    });

    for (const node of lost) await node.kill("SIGKILL");
    await cutOff(survivor);
    expect(await run("recover", "--yes-i-have-lost", lost[0]!.name)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("nothing was done"),
    });
    expect(await run("recover")).toMatchObject({ code: 1, stderr: expect.stringContaining(`give --yes-i-have-lost ${names}`) });
    const recovered = await run("recover", "--yes-i-have-lost", names);
    expect(recovered).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(new RegExp(`^${survivor.name} .* the cluster goes on from here`, "m")),
    });
    expect(recovered.stdout).toContain(`${survivor.name} leads, its nodes are ${survivor.name}.`);

    const status = await running.status(survivor);
    expect(status.clusterId).not.toBe(clusterId);
    expect(status.nodes.map(({ name }) => name)).toEqual([survivor.name]);
    await pullImage(survivor.url, "team/app", "v1", image);
    await pushImage(() => survivor.url, "team/app", "v2", makeImage(2, 1, 60_000));
    const noted = `from ${clusterId}, without ${lost.map(({ name }) => name).join(", ")}`;
    await until(async () => (await run("audit")).stdout.includes(noted));

    // one comes back on its old disk: it is told, ends, and does not start again; its new one joins, with a token of the new cluster
    const old = lost[1]!;
    await comesBack(old);
    await old.kill("SIGKILL");
    await expect(old.start()).rejects.toThrow("empty its data folder and join with a token of that cluster");
    await rm(old.data, { recursive: true });
    const token = await running.token();
    await expect(old.start(["--join", token.join[0]!, "--token", oldToken.token])).rejects.toThrow("belongs to another cluster");
    await rm(old.data, { recursive: true, force: true });
    await old.start(["--join", token.join[0]!, "--token", token.token]);
    await pullImage(old.url, "team/app", "v1", image);
  },
);

test.runIf(SLOW)(
  "G1: three of five are lost; of the two that are left the longer log is gone on from, and the other one follows and serves all the while",
  async () => {
    const running = await startCluster({ nodes: 5, env: AT_ONCE });
    cluster = running;
    const leader = (await running.leader()) as ClusterNode;
    const [behind, ...lost] = running.nodes.filter((node) => node !== leader) as [ClusterNode, ...ClusterNode[]];
    const names = lost.map(({ name }) => name);
    const images = [1, 2, 3].map((seed) => makeImage(seed, 2, 60_000));
    await pushImage(() => behind.url, "team/app", "v1", images[0]!);
    await behind.kill("SIGKILL");
    await pushImage(() => leader.url, "team/app", "v2", images[1]!);
    const before = await running.status(leader);
    for (const node of lost) await node.kill("SIGKILL");
    await behind.start();
    await Promise.all([cutOff(leader), cutOff(behind)]);

    // asked at the one that is behind
    const run = (...args: readonly string[]) => endOf([...args, "--data", behind.data]);
    expect((await run("recover", "--dry-run")).stdout).toMatch(new RegExp(`^${leader.name} .* the cluster goes on from here`, "m"));
    const recovered = await run("recover", "--yes-i-have-lost", names.join(","));
    expect(recovered).toMatchObject({ code: 0, stdout: expect.stringContaining(`${leader.name} leads`) });
    expect(recovered.stdout).toContain("empty its data folder and join it anew");
    const status = await running.status(behind);
    expect(status.clusterId).not.toBe(before.clusterId);
    expect(new Set(status.nodes.map(({ name }) => name))).toEqual(new Set([leader.name, behind.name]));
    for (const node of [leader, behind])
      for (const tag of ["v1", "v2"]) expect((await ask("GET", `${node.url}/v2/team/app/manifests/${tag}`)).status).toBe(200);
    await pushImage(() => behind.url, "team/app", "v3", images[2]!);
    await pullImage(leader.url, "team/app", "v3", images[2]!);

    // three disks are more than two copies outlive: layers that lay there alone are told as lost, and healed by a push
    const gone = JSON.parse((await run("lost", "--json")).stdout) as { digest: string; repositories: string[] }[];
    for (const { digest, repositories } of gone) {
      expect(repositories).toEqual(["team/app"]);
      expect((await ask("HEAD", `${leader.url}/v2/team/app/blobs/${digest}`)).status).toBe(404);
    }
    for (const [at, tag] of ["v1", "v2"].entries()) await pushImage(() => behind.url, "team/app", tag, images[at]!);
    expect((await run("lost")).stdout).toContain("No blob is lost");
    for (const node of [leader, behind])
      for (const [at, tag] of ["v1", "v2"].entries()) await pullImage(node.url, "team/app", tag, images[at]!);

    // the lost come back together, with the old quorum: they are told all the same
    await Promise.all(lost.map(comesBack));
  },
  240_000,
);

test.runIf(SLOW)(
  "a node whose disk was wiped takes its old place with a token once it is found down, or at once with its old key",
  async () => {
    const running = await startCluster({ env: { ...AT_ONCE, ROADSTEAD_CLUSTER_DOWN_AFTER: "1s" } });
    cluster = running;
    const leader = (await running.leader()) as ClusterNode;
    const [wiped, kept] = running.nodes.filter((node) => node !== leader) as [ClusterNode, ClusterNode];
    const image = makeImage(1, 2, 60_000);
    await pushImage(() => wiped.url, "team/app", "v1", image);
    const before = await running.status(leader);
    const joining = async (...more: readonly string[]): Promise<readonly string[]> => {
      const { join: addresses, token } = await running.token();
      return ["--join", addresses[0]!, "--token", token, ...more];
    };
    const mine = (nodes: typeof before.nodes, { name }: ClusterNode) => nodes.find((node) => node.name === name)!;

    await wiped.kill("SIGKILL");
    await rm(wiped.data, { recursive: true });
    await expect(wiped.start(await joining("--replace", "nobody"))).rejects.toThrow("no member of the cluster is called as --replace says");
    await wiped.start(await joining("--replace", wiped.name)); // it waits until the others have found the old one down
    expect(mine((await running.status(leader)).nodes, wiped).peerId).not.toBe(mine(before.nodes, wiped).peerId);
    await pullImage(wiped.url, "team/app", "v1", image);

    // of two voters none may die
    await until(async () => (await running.status(leader)).nodes.every(({ role }) => role === "voter"));
    const key = join(running.folder, "kept.key");
    await copyFile(join(kept.data, "identity.key"), key);
    await kept.kill("SIGKILL");
    await rm(kept.data, { recursive: true });
    await kept.start(await joining("--replace", kept.name, "--old-identity", key, "--replace-lost"));
    const after = await running.status(leader);
    expect(after.nodes.map(({ name }) => name).sort()).toEqual(before.nodes.map(({ name }) => name).sort());
    expect(mine(after.nodes, kept).peerId).not.toBe(mine(before.nodes, kept).peerId);
    await pullImage(kept.url, "team/app", "v1", image);
  },
  120_000,
);
