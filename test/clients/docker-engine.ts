import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Daemon, type Scene, sh, startDaemon, unmountBelow } from "./tools.ts";

/** A Docker engine and its containerd that live below the scene's folder and touch neither network nor storage of the machine. */
export interface DockerEngine {
  docker(...args: readonly string[]): Promise<string>;
  ctr(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

export async function startDockerEngine(scene: Scene): Promise<DockerEngine> {
  const at = (name: string): string => join(scene.folder, name);
  const socket = at("cd.sock");
  const host = `unix://${at("d.sock")}`;
  const settings = [`root = "${at("cd")}"`, `state = "${at("cds")}"`, "[grpc]", `  address = "${socket}"`];
  const plugin = ['[plugins."io.containerd.internal.v1.opt"]', `  path = "${at("opt")}"`];
  await writeFile(at("cd.toml"), `${["version = 2", ...settings, ...plugin].join("\n")}\n`);
  const containerd: Daemon = await startDaemon("containerd", ["--config", at("cd.toml")], "containerd successfully booted");
  const off = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none", "--storage-driver=vfs"];
  const folders = ["--data-root", at("docker"), "--exec-root", at("dexec"), "-p", at("docker.pid")];
  const dockerd = await startDaemon("dockerd", [...off, ...folders, "-H", host, "--containerd", socket], "API listen on");
  return {
    docker: (...args) => sh("docker", ["-H", host, ...args], { DOCKER_CONFIG: at("dockercfg"), DOCKER_BUILDKIT: "0" }),
    ctr: (...args) => sh("ctr", ["-a", socket, "-n", "roadstead", ...args]),
    async stop() {
      await dockerd.stop();
      await containerd.stop();
      unmountBelow(scene.folder);
    },
  };
}
