import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeImage, writeLayout } from "../harness/image.ts";
import { containersEnv, missing, openScene, type Scene, sh } from "./tools.ts";

const skip = missing(["skopeo"]);

describe.skipIf(skip !== undefined)(`skopeo${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  let scene: Scene;
  let env: NodeJS.ProcessEnv;
  beforeAll(async () => {
    scene = await openScene();
    env = await containersEnv(scene.folder);
  });
  afterAll(() => scene?.close());

  const skopeo = (...args: string[]): Promise<string> => sh("skopeo", ["--insecure-policy", ...args], env);

  test("copies an image in, inspects, lists and copies it out again, each through another node", async () => {
    const source = join(scene.folder, "single");
    const digest = await writeLayout(source, "v1", [makeImage(1, 3, 400_000)]);
    await skopeo("copy", "--dest-tls-verify=false", `oci:${source}:v1`, `docker://${scene.next()}/skopeo/app:v1`);
    const inspected = JSON.parse(await skopeo("inspect", "--tls-verify=false", `docker://${scene.next()}/skopeo/app:v1`)) as {
      Digest: string;
      Layers: string[];
    };
    expect(inspected.Digest).toBe(digest);
    expect(inspected.Layers).toHaveLength(3);
    const listed = JSON.parse(await skopeo("list-tags", "--tls-verify=false", `docker://${scene.next()}/skopeo/app`)) as { Tags: string[] };
    expect(listed.Tags).toEqual(["v1"]);
    const out = join(scene.folder, "out");
    await skopeo("copy", "--src-tls-verify=false", `docker://${scene.next()}/skopeo/app:v1`, `oci:${out}:v1`);
    const again = JSON.parse(await skopeo("inspect", `oci:${out}:v1`)) as { Digest: string };
    expect(again.Digest).toBe(digest);
  });

  test("http-rule 14: copies a multi-arch index with --all, children first, in and out", async () => {
    const source = join(scene.folder, "multi");
    const images = ["amd64", "arm64", "s390x"].map((architecture, i) => makeImage(10 + i, 2, 100_000, architecture));
    const digest = await writeLayout(source, "multi", images);
    await skopeo("copy", "--all", "--dest-tls-verify=false", `oci:${source}:multi`, `docker://${scene.next()}/skopeo/multi:v1`);
    const raw = await skopeo("inspect", "--raw", "--tls-verify=false", `docker://${scene.next()}/skopeo/multi:v1`);
    expect((JSON.parse(raw) as { manifests: unknown[] }).manifests).toHaveLength(3);
    const out = join(scene.folder, "multi-out");
    await skopeo("copy", "--all", "--src-tls-verify=false", `docker://${scene.next()}/skopeo/multi@${digest}`, `dir:${out}`);
    await skopeo(
      "copy",
      "--all",
      "--src-tls-verify=false",
      "--dest-tls-verify=false",
      `docker://${scene.next()}/skopeo/multi:v1`,
      `docker://${scene.next()}/skopeo/copy:v1`,
    );
  });

  test("deletes by tag, and the next node does not know it any more", async () => {
    await skopeo("delete", "--tls-verify=false", `docker://${scene.next()}/skopeo/copy:v1`);
    await expect(skopeo("inspect", "--tls-verify=false", `docker://${scene.next()}/skopeo/copy:v1`)).rejects.toThrow(
      /manifest unknown|404/i,
    );
  });
});
