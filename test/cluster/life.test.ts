import { afterEach, expect, test } from "vitest";
import { pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { endOf } from "../harness/command.ts";
import { makeImage } from "../harness/image.ts";

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

test("G1: a node is drained and removed while clients push and pull through it, and nothing is lost; what would break the cluster is refused", async () => {
  const running = await startCluster({ nodes: 4 });
  cluster = running;
  const [door, ...others] = running.nodes as [ClusterNode, ...ClusterNode[]];
  const run = (...args: readonly string[]) => endOf([...args, "--data", door.data]);
  const images = Array.from({ length: 6 }, (_, at) => makeImage(at + 1, 3, 40_000));
  const next = (at: number) => () => running.nodes[at % running.nodes.length]!.url;
  for (const [at, image] of images.entries()) await pushImage(next(at), "team/app", `v${at}`, image);

  const leaving = others.at(-1)!;
  const handed = await run("transfer-leader", leaving.name);
  // with four nodes one is a learner, which cannot lead
  const learner = (await running.status(door)).nodes.find(({ role }) => role === "learner")!;
  if (learner.name === leaving.name)
    expect(handed).toMatchObject({ code: 1, stderr: expect.stringContaining("is a learner, which cannot lead") });
  else expect(handed).toMatchObject({ code: 0, stdout: `${leaving.name} leads.\n` });
  expect(await run("remove", leaving.name)).toMatchObject({ code: 1, stderr: expect.stringContaining("drain it first") });

  const pulls = images.map((image, at) => pullImage(leaving.url, "team/app", `v${at}`, image));
  const drained = await run("drain", leaving.name, "--wait");
  expect(drained).toMatchObject({ code: 0, stdout: expect.stringContaining(`Nothing lies on ${leaving.name} any more.`) });
  expect(drained.stderr).toMatch(/\[#{24}\] 100 % {2}(\d+) of \1 copies/);
  await Promise.all(pulls);
  expect((await run("nodes")).stdout).toMatch(new RegExp(`^${leaving.name} .* drained `, "m"));
  const late = makeImage(99, 2, 40_000);
  await pushImage(() => leaving.url, "team/app", "late", late);
  expect((await run("drain", leaving.name, "--wait")).code).toBe(0); // what was pushed through it lay there for a moment
  expect((await running.status(door)).nodes.find(({ name }) => name === leaving.name)).toMatchObject({ draining: true, copies: 0 });

  expect(await run("remove", leaving.name)).toMatchObject({ code: 0, stdout: expect.stringContaining("is no member any more") });
  // nobody speaks with it any more: it asks, is told, and ends by itself
  const last = await leaving.logged(({ msg }) => typeof msg === "string" && msg.startsWith("this node was removed from the cluster"));
  expect(last).toMatchObject({ level: "error", msg: expect.stringContaining("join with an empty data folder and a new token") });
  await leaving.kill("SIGKILL");
  expect(await run("remove", leaving.name)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`no node is called ${leaving.name}`),
  });
  for (const node of running.nodes.filter(({ running: alive }) => alive)) {
    for (const [at, image] of images.entries()) await pullImage(node.url, "team/app", `v${at}`, image);
    await pullImage(node.url, "team/app", "late", late);
  }

  // three are left: one may drain, no second one beside it, and none may go while another is dead
  const [second, third] = others as [ClusterNode, ClusterNode, ClusterNode];
  expect(await run("drain", second.name)).toMatchObject({ code: 0 });
  expect(await run("drain", third.name)).toMatchObject({ code: 1, stderr: expect.stringContaining("join a node first") });
  expect(await run("undrain", second.name)).toMatchObject({ code: 0, stdout: `${second.name} takes copies again.\n` });
  await third.kill("SIGKILL");
  expect(await run("remove", second.name, "--force")).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(new RegExp(`the quorum would be lost: 1 of 2 voters that are left answer.* Start ${third.name} first`)),
  });
});
