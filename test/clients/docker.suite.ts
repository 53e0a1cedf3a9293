import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask } from "../harness/client.ts";
import { noise } from "../harness/image.ts";
import { type DockerEngine, startDockerEngine } from "./docker-engine.ts";
import { missing, openScene, type Scene } from "./tools.ts";

const skip = missing(["dockerd", "docker", "containerd"], true);
const SKIPPED = skip === undefined ? "" : ` (skipped: ${skip})`;

let scene: Scene;
let engine: DockerEngine;
beforeAll(async () => {
  if (skip !== undefined) return;
  scene = await openScene();
  engine = await startDockerEngine(scene);
});
afterAll(async () => {
  await engine?.stop();
  await scene?.close();
});

async function context(at: Scene, name: string, from: string, seed: number): Promise<string> {
  const folder = join(at.folder, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "payload"), noise(seed, 500_000));
  await writeFile(join(folder, "Dockerfile"), `FROM ${from}\nCOPY payload /payload-${seed}\nCMD ["/payload-${seed}"]\n`);
  return folder;
}

test.skipIf(skip !== undefined)(`builds FROM scratch, pushes through one node and pulls through the next${SKIPPED}`, async () => {
  await engine.docker("build", "-q", "-t", `${scene.hosts[0]}/docker/app:v1`, await context(scene, "one", "scratch", 1));
  await engine.docker("push", "-q", `${scene.hosts[0]}/docker/app:v1`);
  const id = (await engine.docker("inspect", "-f", "{{.Id}}", `${scene.hosts[0]}/docker/app:v1`)).trim();
  for (const other of scene.hosts.slice(1)) {
    await engine.docker("pull", "-q", `${other}/docker/app:v1`);
    expect((await engine.docker("inspect", "-f", "{{.Id}}", `${other}/docker/app:v1`)).trim()).toBe(id);
  }
});

test.skipIf(skip !== undefined)(`http-rule 10: a push of the same layers into another repository mounts them${SKIPPED}`, async () => {
  await engine.docker("tag", `${scene.hosts[0]}/docker/app:v1`, `${scene.hosts[0]}/docker/other:v1`);
  const said = await engine.docker("push", `${scene.hosts[0]}/docker/other:v1`);
  expect(said).toMatch(/Mounted from docker\/app/);
  await engine.docker("pull", "-q", `${scene.hosts.at(-1)}/docker/other:v1`);
});

test.skipIf(skip !== undefined)(`builds FROM an image that it pulls from a node, after its own copy is gone${SKIPPED}`, async () => {
  const base = `${scene.hosts.at(-1)}/docker/app:v1`;
  await engine.docker("system", "prune", "-af");
  await engine.docker("build", "-q", "-t", `${scene.hosts[0]}/docker/derived:v1`, await context(scene, "two", base, 2));
  await engine.docker("push", "-q", `${scene.hosts[0]}/docker/derived:v1`);
  const tags = await ask("GET", `http://${scene.next()}/v2/docker/derived/tags/list`);
  expect(JSON.parse(new TextDecoder().decode(tags.bytes))).toEqual({ name: "docker/derived", tags: ["v1"] });
});

test.skipIf(skip !== undefined)(`containerd's ctr pulls by a mirror list whose first mirror is dead${SKIPPED}`, async () => {
  const hostsDir = join(scene.folder, "hosts");
  await mkdir(join(hostsDir, "registry.example"), { recursive: true });
  const mirror = (at: string): string => `[host."http://${at}"]\n  capabilities = ["pull", "resolve"]\n`;
  const mirrors = ["127.0.0.1:9", ...scene.hosts.slice(1)].map(mirror);
  await writeFile(join(hostsDir, "registry.example/hosts.toml"), `server = "http://${scene.hosts[0]}"\n${mirrors.join("")}`);
  await engine.ctr("content", "fetch", "--hosts-dir", hostsDir, "registry.example/docker/app:v1");
  expect(await engine.ctr("images", "ls", "-q")).toContain("registry.example/docker/app:v1");
  expect((await engine.ctr("content", "ls", "-q")).trim().split("\n").length).toBeGreaterThanOrEqual(3);
});
