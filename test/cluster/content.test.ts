import { afterEach, expect, test } from "vitest";
import { ask, pullImage, pushImage } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { endOf } from "../harness/command.ts";
import { makeImage } from "../harness/image.ts";

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

test("quotas, immutable tags, deletion of repositories and projects, and the way back out of the trash, by the command line", async () => {
  const running = await startCluster({ nodes: 1 });
  cluster = running;
  const [node] = running.nodes as [ClusterNode];
  const run = (...args: readonly string[]) => endOf([...args, "--data", node.data]);
  const image = makeImage(1, 2, 40_000);
  for (const tag of ["v1", "latest"]) await pushImage(() => node.url, "team/app", tag, image);
  await pushImage(() => node.url, "team/web", "v1", image);

  expect((await run("project", "set", "team", "--quota", "100KiB", "--repositories", "2", "--immutable", "v*")).stdout).toMatch(
    /^team +[0-9.]+ KiB of 100 KiB +2 of 2 +v\* +-$/m,
  );
  await expect(pushImage(() => node.url, "team/app", "big", makeImage(2, 2, 40_000))).rejects.toThrow(/403.*DENIED.*of 102400 bytes/);
  await expect(pushImage(() => node.url, "team/third", "v1", image)).rejects.toThrow(/403.*DENIED/);
  expect((await run("repository", "delete", "team/app")).stderr).toContain("immutable by a rule of its project");

  expect((await run("project", "set", "team", "--immutable", "")).code).toBe(0);
  expect((await run("repository", "delete", "team/app")).stdout).toContain("1 manifests are in the trash");
  expect((await ask("GET", `${node.url}/v2/team/app/manifests/v1`)).status).toBe(404);
  expect((await run("trash", "list", "team/app")).stdout).toMatch(/^sha256:\S+ +v1,latest /m);
  expect((await run("trash", "restore", "team/app")).stdout).toBe("1 manifest is back in team/app.\n");
  for (const tag of ["v1", "latest"]) await pullImage(node.url, "team/app", tag, image);

  expect((await run("project", "delete", "team")).stdout).toContain("2 manifests of 2 repositories are in the trash");
  for (const name of ["app", "web"]) expect((await ask("GET", `${node.url}/v2/team/${name}/manifests/v1`)).status).toBe(404);
  expect(await run("project", "delete", "team")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("no repository of the project team"),
  });
  expect((await run("project", "list")).stdout).toMatch(/^team .* 0 of 2 /m);
});
