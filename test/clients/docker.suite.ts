import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask } from "../harness/client.ts";
import { noise } from "../harness/image.ts";
import { type Daemon, missing, openScene, type Scene, sh, startDaemon, unmountBelow } from "./tools.ts";

const skip = missing(["dockerd", "docker", "containerd"], true);

describe.skipIf(skip !== undefined)(`docker${skip === undefined ? "" : ` (skipped: ${skip})`}`, () => {
  let scene: Scene;
  let containerd: Daemon;
  let dockerd: Daemon;
  let host: string;
  beforeAll(async () => {
    scene = await openScene();
    const at = (name: string): string => join(scene.folder, name);
    const socket = at("cd.sock");
    await writeFile(
      at("cd.toml"),
      `version = 2\nroot = "${at("cd")}"\nstate = "${at("cds")}"\n[grpc]\n  address = "${socket}"\n[plugins."io.containerd.internal.v1.opt"]\n  path = "${at("opt")}"\n`,
    );
    containerd = await startDaemon("containerd", ["--config", at("cd.toml")], "containerd successfully booted");
    host = `unix://${at("d.sock")}`;
    const off = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none", "--storage-driver=vfs"];
    dockerd = await startDaemon(
      "dockerd",
      [...off, "--data-root", at("docker"), "--exec-root", at("dexec"), "-p", at("docker.pid"), "-H", host, "--containerd", socket],
      "API listen on",
    );
  });
  afterAll(async () => {
    await dockerd?.stop();
    await containerd?.stop();
    if (scene === undefined) return;
    unmountBelow(scene.folder);
    await scene.close();
  });

  const docker = (...args: string[]): Promise<string> =>
    sh("docker", ["-H", host, ...args], { DOCKER_CONFIG: join(scene.folder, "dockercfg"), DOCKER_BUILDKIT: "0" });

  async function context(name: string, from: string, seed: number): Promise<string> {
    const folder = join(scene.folder, name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "payload"), noise(seed, 500_000));
    await writeFile(join(folder, "Dockerfile"), `FROM ${from}\nCOPY payload /payload-${seed}\nCMD ["/payload-${seed}"]\n`);
    return folder;
  }

  test("builds FROM scratch, pushes through one node and pulls through the next", async () => {
    await docker("build", "-q", "-t", `${scene.hosts[0]}/docker/app:v1`, await context("one", "scratch", 1));
    await docker("push", "-q", `${scene.hosts[0]}/docker/app:v1`);
    const id = (await docker("inspect", "-f", "{{.Id}}", `${scene.hosts[0]}/docker/app:v1`)).trim();
    for (const other of scene.hosts.slice(1)) {
      await docker("pull", "-q", `${other}/docker/app:v1`);
      expect((await docker("inspect", "-f", "{{.Id}}", `${other}/docker/app:v1`)).trim()).toBe(id);
    }
  });

  test("http-rule 10: a push of the same layers into another repository mounts them", async () => {
    await docker("tag", `${scene.hosts[0]}/docker/app:v1`, `${scene.hosts[0]}/docker/other:v1`);
    const said = await docker("push", `${scene.hosts[0]}/docker/other:v1`);
    expect(said).toMatch(/Mounted from docker\/app/);
    await docker("pull", "-q", `${scene.hosts.at(-1)}/docker/other:v1`);
  });

  test("builds FROM an image that it pulls from a node, after its own copy is gone", async () => {
    const base = `${scene.hosts.at(-1)}/docker/app:v1`;
    await docker("system", "prune", "-af");
    await docker("build", "-q", "-t", `${scene.hosts[0]}/docker/derived:v1`, await context("two", base, 2));
    await docker("push", "-q", `${scene.hosts[0]}/docker/derived:v1`);
    const tags = await ask("GET", `http://${scene.next()}/v2/docker/derived/tags/list`);
    expect(JSON.parse(new TextDecoder().decode(tags.bytes))).toEqual({ name: "docker/derived", tags: ["v1"] });
  });

  test("containerd's ctr pulls by a mirror list whose first mirror is dead", async () => {
    const hostsDir = join(scene.folder, "hosts");
    await mkdir(join(hostsDir, "registry.example"), { recursive: true });
    const mirror = (at: string): string => `[host."http://${at}"]\n  capabilities = ["pull", "resolve"]\n`;
    const mirrors = ["127.0.0.1:9", ...scene.hosts.slice(1)].map(mirror);
    await writeFile(join(hostsDir, "registry.example/hosts.toml"), `server = "http://${scene.hosts[0]}"\n${mirrors.join("")}`);
    const address = join(scene.folder, "cd.sock");
    const ctr = (...args: string[]): Promise<string> => sh("ctr", ["-a", address, "-n", "roadstead", ...args]);
    await ctr("content", "fetch", "--hosts-dir", hostsDir, "registry.example/docker/app:v1");
    expect(await ctr("images", "ls", "-q")).toContain("registry.example/docker/app:v1");
    expect((await ctr("content", "ls", "-q")).trim().split("\n").length).toBeGreaterThanOrEqual(3);
  });
});
