import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeImage, writeLayout } from "../harness/image.ts";
import { missing, openScene, type Scene, sh } from "./tools.ts";

const skip = missing(["crane", "oras", "regctl"]);

describe.skipIf(skip !== undefined)(`crane, oras and regctl${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  let scene: Scene;
  let layout: string;
  let digest: string;
  beforeAll(async () => {
    scene = await openScene();
    layout = join(scene.folder, "image");
    digest = await writeLayout(layout, "v1", [makeImage(50, 3, 200_000)]);
  });
  afterAll(() => scene?.close());
  const env = (): NodeJS.ProcessEnv => ({ HOME: scene.folder, DOCKER_CONFIG: scene.folder });

  test("crane pushes a layout, copies, lists, validates and deletes", async () => {
    const crane = (...args: string[]): Promise<string> => sh("crane", ["--insecure", ...args], env());
    await crane("push", layout, `${scene.next()}/go/crane:v1`);
    expect((await crane("digest", `${scene.next()}/go/crane:v1`)).trim()).toBe(digest);
    await crane("validate", "--remote", `${scene.next()}/go/crane:v1`);
    await crane("copy", `${scene.hosts[0]}/go/crane:v1`, `${scene.hosts.at(-1)}/go/crane-copy:v2`);
    expect((await crane("ls", `${scene.next()}/go/crane-copy`)).trim()).toBe("v2");
    expect(await crane("catalog", scene.next())).toContain("go/crane-copy");
    await crane("delete", `${scene.next()}/go/crane-copy@${digest}`);
    await expect(crane("digest", `${scene.next()}/go/crane-copy:v2`)).rejects.toThrow(/MANIFEST_UNKNOWN|404/);
  });

  test("oras attaches an artifact to an image, discovers and pulls it through other nodes", async () => {
    const oras = (...args: string[]): Promise<string> => sh("oras", args, env(), scene.folder);
    await sh("crane", ["--insecure", "push", layout, `${scene.next()}/go/oras:v1`], env());
    await writeFile(join(scene.folder, "sbom.json"), JSON.stringify({ spdxVersion: "SPDX-2.3" }));
    await oras(
      "attach",
      "--plain-http",
      "--artifact-type",
      "application/spdx+json",
      `${scene.next()}/go/oras:v1`,
      "sbom.json:application/spdx+json",
    );
    const found = await oras("discover", "--plain-http", "--format", "json", `${scene.next()}/go/oras:v1`);
    const { referrers, manifests } = JSON.parse(found) as { referrers?: { digest: string }[]; manifests?: { digest: string }[] };
    const [artifact] = referrers ?? manifests ?? [];
    expect(artifact?.digest).toMatch(/^sha256:/);
    await oras("pull", "--plain-http", "-o", join(scene.folder, "pulled"), `${scene.next()}/go/oras@${artifact!.digest}`);
    await oras("push", "--plain-http", "--artifact-type", "application/vnd.example", `${scene.next()}/go/oras-artifact:v1`, "sbom.json");
    await oras("manifest", "fetch", "--plain-http", `${scene.next()}/go/oras-artifact:v1`);
  });

  test("regctl copies with referrers, deletes a tag alone, and lists what is left", async () => {
    const regctl = (...args: string[]): Promise<string> => sh("regctl", args, env());
    for (const host of scene.hosts) await regctl("registry", "set", "--tls", "disabled", host);
    await regctl("image", "copy", `ocidir://${layout}:v1`, `${scene.next()}/go/regctl:v1`);
    await regctl("image", "copy", `${scene.hosts[0]}/go/regctl:v1`, `${scene.hosts.at(-1)}/go/regctl:v2`);
    await regctl("tag", "rm", `${scene.next()}/go/regctl:v1`);
    expect((await regctl("tag", "ls", `${scene.next()}/go/regctl`)).trim()).toBe("v2");
    expect((await regctl("image", "digest", `${scene.next()}/go/regctl:v2`)).trim()).toBe(digest);
    await regctl(
      "artifact",
      "put",
      "--artifact-type",
      "application/vnd.example.note",
      "--subject",
      `${scene.next()}/go/regctl:v2`,
      "-f",
      join(scene.folder, "sbom.json"),
    );
    const list = JSON.parse(await regctl("artifact", "list", "--format", "{{json .}}", `${scene.next()}/go/regctl:v2`)) as {
      descriptors?: unknown[];
    };
    expect(list.descriptors).toHaveLength(1);
  });
});
