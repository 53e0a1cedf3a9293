import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noise } from "../harness/image.ts";
import { containersEnv, missing, openScene, type Scene, sh, unmountBelow } from "./tools.ts";

const skip = missing(["podman", "buildah", "skopeo"], true);

describe.skipIf(skip !== undefined)(`podman and buildah${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  let scene: Scene;
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    scene = await openScene();
    env = await containersEnv(scene.folder);
  });
  afterAll(async () => {
    if (scene === undefined) return;
    unmountBelow(scene.folder);
    await scene.close();
  });

  const storage = (name: string): string[] => [
    "--root",
    join(scene.folder, name),
    "--runroot",
    join(scene.folder, `${name}-run`),
    "--storage-driver",
    "vfs",
  ];
  const buildah = (...args: string[]): Promise<string> => sh("buildah", [...storage("build"), ...args], env);
  const podman = (...args: string[]): Promise<string> => sh("podman", [...storage("pull"), ...args], env);

  async function build(tag: string, seed: number): Promise<void> {
    const file = join(scene.folder, `payload-${seed}`);
    await writeFile(file, noise(seed, 300_000));
    const container = (await buildah("from", "scratch")).trim();
    await buildah("copy", container, file, "/payload");
    await buildah("commit", "--format", "oci", container, tag);
    await buildah("rm", container);
  }

  test("buildah pushes what it built and podman pulls it through another node", async () => {
    await build("local/app", 1);
    await buildah("push", "--tls-verify=false", "local/app", `docker://${scene.next()}/podman/app:v1`);
    const id = (await podman("pull", "--quiet", "--tls-verify=false", `${scene.next()}/podman/app:v1`)).trim();
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    const same = (await buildah("images", "--no-trunc", "--quiet", "local/app")).trim();
    expect(same).toContain(id);
  });

  test("podman pushes what it pulled, under another name and in Docker's own format too", async () => {
    const [image = ""] = (await podman("images", "--quiet", "--no-trunc")).trim().split("\n");
    await podman("push", "--tls-verify=false", image, `docker://${scene.next()}/podman/again:v1`);
    await podman("push", "--tls-verify=false", "--format", "v2s2", image, `docker://${scene.next()}/podman/again:docker`);
    await buildah("pull", "--quiet", "--tls-verify=false", `docker://${scene.next()}/podman/again:docker`);
  });

  test("a manifest list of two images is pushed with all and pulled by its tag", async () => {
    await build("local/two", 2);
    await buildah("manifest", "create", "local/list");
    await buildah("manifest", "add", "--arch", "amd64", "local/list", "containers-storage:localhost/local/app");
    await buildah("manifest", "add", "--arch", "arm64", "local/list", "containers-storage:localhost/local/two");
    await buildah("manifest", "push", "--all", "--tls-verify=false", "local/list", `docker://${scene.next()}/podman/list:v1`);
    const raw = await sh("skopeo", ["inspect", "--raw", "--tls-verify=false", `docker://${scene.next()}/podman/list:v1`], env);
    const inspected = JSON.parse(raw) as { manifests: unknown[] };
    expect(inspected.manifests).toHaveLength(2);
    await podman("pull", "--quiet", "--tls-verify=false", "--arch", "arm64", `${scene.next()}/podman/list:v1`);
  });
});
