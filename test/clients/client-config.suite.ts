import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pushImage } from "../harness/client.ts";
import { roadstead } from "../harness/cluster.ts";
import { makeImage } from "../harness/image.ts";
import { type DockerEngine, startDockerEngine } from "./docker-engine.ts";
import { containersEnv, missing, openScene, type Scene, sh, unmountBelow } from "./tools.ts";

const absent =
  process.env.ROADSTEAD_TARGETS === undefined ? missing(["podman", "containerd", "dockerd"], true) : "needs a cluster of its own";

describe.skipIf(absent !== undefined)(`what client-config writes${absent === undefined ? "" : ` (skipped: ${absent})`}`, () => {
  let scene: Scene;
  let engine: DockerEngine;
  beforeAll(async () => {
    scene = await openScene();
    engine = await startDockerEngine(scene);
    await pushImage(() => `http://${scene.next()}`, "near/app", "v1", makeImage(5, 2, 50_000));
  });
  afterAll(async () => {
    await engine?.stop();
    if (scene === undefined) return;
    unmountBelow(scene.folder);
    await scene.close();
  });

  /** The file for a client, while the node that stands first in it is dead. */
  async function whileFirstIsDead(client: string, pull: (text: string) => Promise<void>): Promise<void> {
    const { nodes } = scene.cluster!;
    const args = ["--for", client, "--registry", "registry.example", "--data", nodes[2]!.data, "--json"];
    const answer = JSON.parse(await roadstead("client-config", ...args)) as { text: string; nodes: { url: string }[] };
    const first = nodes.find((node) => node.url === answer.nodes[0]!.url)!;
    await first.kill("SIGKILL");
    await pull(answer.text);
    await first.start();
  }

  test("containerd pulls by it while its first mirror is dead", () =>
    whileFirstIsDead("containerd", async (text) => {
      const hostsDir = join(scene.folder, "certs.d");
      await mkdir(join(hostsDir, "registry.example"), { recursive: true });
      await writeFile(join(hostsDir, "registry.example/hosts.toml"), text);
      await engine.ctr("content", "fetch", "--hosts-dir", hostsDir, "registry.example/near/app:v1");
      expect(await engine.ctr("images", "ls", "-q")).toContain("registry.example/near/app:v1");
    }));

  test("podman pulls by it while its first mirror is dead", () =>
    whileFirstIsDead("podman", async (text) => {
      const path = join(scene.folder, "registries.conf");
      await writeFile(path, text);
      const env = { ...(await containersEnv(scene.folder)), CONTAINERS_REGISTRIES_CONF: path };
      const storage = ["--root", join(scene.folder, "pull"), "--runroot", join(scene.folder, "pull-run"), "--storage-driver", "vfs"];
      const id = await sh("podman", [...storage, "pull", "--quiet", "registry.example/near/app:v1"], env);
      expect(id.trim()).toMatch(/^[0-9a-f]{64}$/);
    }));
});
