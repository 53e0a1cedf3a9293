import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Daemon, type Scene, sh, startDaemon, unmountBelow } from "./tools.ts";

export interface Command {
  readonly name: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** A Docker engine and its containerd that live below the scene's folder and touch neither network nor storage of the machine. */
export interface DockerEngine {
  /** What `docker` and `ctr` run, for those who run it elsewhere. */
  readonly commands: { readonly docker: Command; readonly ctr: Command };
  docker(...args: readonly string[]): Promise<string>;
  ctr(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

export interface EngineOptions {
  /** What is put before each command: where it runs. */
  readonly within?: readonly string[];
  /** `host:port` of registries beside loopback that speak plain HTTP. */
  readonly insecure?: readonly string[];
}

export async function startDockerEngine({ folder }: Pick<Scene, "folder">, options: EngineOptions = {}): Promise<DockerEngine> {
  const { within = [], insecure = [] } = options;
  const at = (name: string): string => join(folder, name);
  const socket = at("cd.sock");
  const host = `unix://${at("d.sock")}`;
  const settings = [`root = "${at("cd")}"`, `state = "${at("cds")}"`, "[grpc]", `  address = "${socket}"`];
  const plugin = ['[plugins."io.containerd.internal.v1.opt"]', `  path = "${at("opt")}"`];
  await writeFile(at("cd.toml"), `${["version = 2", ...settings, ...plugin].join("\n")}\n`);
  const containerd: Daemon = await startDaemon("containerd", ["--config", at("cd.toml")], "containerd successfully booted", within);
  const off = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none", "--storage-driver=vfs"];
  const plain = insecure.flatMap((registry) => ["--insecure-registry", registry]);
  const folders = ["--data-root", at("docker"), "--exec-root", at("dexec"), "-p", at("docker.pid")];
  const dockerd = await startDaemon("dockerd", [...off, ...plain, ...folders, "-H", host, "--containerd", socket], "API listen on", within);
  const docker: Command = { name: "docker", args: ["-H", host], env: { DOCKER_CONFIG: at("dockercfg"), DOCKER_BUILDKIT: "0" } };
  const ctr: Command = { name: "ctr", args: ["-a", socket, "-n", "roadstead"], env: {} };
  const run = ({ name, args, env }: Command, more: readonly string[]): Promise<string> => sh(name, [...args, ...more], env);
  return {
    commands: { docker, ctr },
    docker: (...args) => run(docker, args),
    ctr: (...args) => run(ctr, args),
    async stop() {
      await dockerd.stop();
      await containerd.stop();
      unmountBelow(folder);
    },
  };
}
