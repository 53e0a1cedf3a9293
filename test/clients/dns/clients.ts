import { execFile } from "node:child_process";
import { join } from "node:path";
import { type Command, type DockerEngine, startDockerEngine } from "../docker-engine.ts";
import { containersEnv, program } from "../tools.ts";
import { PORT } from "./scene.ts";

/** For what needs no more than good addresses. */
const PATIENCE_MS = 60_000;

/** What came of an attempt. `hangs`: it had to be ended. */
export type Result = "works" | "fails" | "hangs";

export interface Attempt {
  readonly result: Result;
  readonly seconds: number;
  /** The end of what it said. */
  readonly said: string;
}

/** A client that pushes and pulls the image `v1` of a repository at a registry's name. */
export interface Client {
  /** Gets what it is to push from `registry`. */
  prepare(registry: string, repository: string): Promise<Attempt>;
  /** Pushes what was prepared. */
  push(registry: string, repository: string, patienceMs: number): Promise<Attempt>;
  pull(registry: string, repository: string, patienceMs: number): Promise<Attempt>;
}

export type ClientName = "docker" | "containerd" | "podman" | "skopeo";

export interface Clients {
  readonly clients: Readonly<Record<ClientName, Client>>;
  /** containerd with a `hosts.toml` that names these registries, `host:port`, in this order. */
  containerdWith(hostsFolder: string): Pick<Client, "pull">;
  close(): Promise<void>;
}

type Run = (patienceMs: number, command: Command, ...args: readonly string[]) => Promise<Attempt>;

/** Runs a command to its end, or ends it. */
function runner(within: readonly string[]): Run {
  return (timeout, { name, args, env }, ...more) => {
    const [file = "", ...all] = [...within, program(name) ?? name, ...args, ...more];
    const began = performance.now();
    const options = { env: { ...process.env, ...env }, timeout, killSignal: "SIGKILL", maxBuffer: 1 << 26 } as const;
    return new Promise((resolve) => {
      execFile(file, all, options, (error, stdout, stderr) => {
        const result = error === null ? "works" : error.killed === true ? "hangs" : "fails";
        resolve({ result, seconds: (performance.now() - began) / 1000, said: `${stdout}${stderr}`.trim().slice(-600) });
      });
    });
  };
}

function reference(registry: string, repository: string): string {
  return `${registry}:${PORT}/${repository}:v1`;
}

/** Each client of this machine, in the namespace. @param registries names that speak plain HTTP */
export async function startClients(folder: string, within: readonly string[], registries: readonly string[]): Promise<Clients> {
  const engine = await startDockerEngine({ folder }, { within, insecure: registries.map((name) => `${name}:${PORT}`) });
  const env = await containersEnv(folder);
  const run = runner(within);
  const ctr = containerd(run, engine);
  const clients = { docker: docker(run, engine), containerd: ctr, podman: podman(run, folder, env), skopeo: skopeo(run, folder, env) };
  return {
    clients,
    containerdWith: (hostsFolder) => ({
      pull: (registry, repository, patienceMs) =>
        run(patienceMs, engine.commands.ctr, "content", "fetch", "--hosts-dir", hostsFolder, reference(registry, repository)),
    }),
    close: () => engine.stop(),
  };
}

function docker(run: Run, { commands }: DockerEngine): Client {
  let prepared = "";
  return {
    prepare(registry, repository) {
      prepared = reference(registry, repository);
      return run(PATIENCE_MS, commands.docker, "pull", "-q", prepared);
    },
    async push(registry, repository, patienceMs) {
      const target = reference(registry, repository);
      const tagged = await run(PATIENCE_MS, commands.docker, "tag", prepared, target);
      return tagged.result === "works" ? run(patienceMs, commands.docker, "push", target) : tagged;
    },
    pull: (registry, repository, patienceMs) => run(patienceMs, commands.docker, "pull", reference(registry, repository)),
  };
}

function containerd(run: Run, { commands }: DockerEngine): Client {
  let prepared = "";
  return {
    prepare(registry, repository) {
      prepared = reference(registry, repository);
      return run(PATIENCE_MS, commands.ctr, "content", "fetch", "--plain-http", prepared);
    },
    push: (registry, repository, patienceMs) =>
      run(patienceMs, commands.ctr, "images", "push", "--plain-http", reference(registry, repository), prepared),
    pull: (registry, repository, patienceMs) =>
      run(patienceMs, commands.ctr, "content", "fetch", "--plain-http", reference(registry, repository)),
  };
}

function podman(run: Run, folder: string, env: NodeJS.ProcessEnv): Client {
  const storage = ["--root", join(folder, "podman"), "--runroot", join(folder, "podman-run"), "--storage-driver", "vfs"];
  const command = { name: "podman", args: storage, env };
  const pull = (registry: string, repository: string, patienceMs: number) =>
    run(patienceMs, command, "pull", "--quiet", "--tls-verify=false", reference(registry, repository));
  let prepared = "";
  return {
    prepare(registry, repository) {
      prepared = reference(registry, repository);
      return pull(registry, repository, PATIENCE_MS);
    },
    push: (registry, repository, patienceMs) =>
      run(patienceMs, command, "push", "--tls-verify=false", prepared, `docker://${reference(registry, repository)}`),
    pull,
  };
}

function skopeo(run: Run, folder: string, env: NodeJS.ProcessEnv): Client {
  const command = { name: "skopeo", args: ["--insecure-policy", "copy"], env };
  const layout = join(folder, "skopeo-layout");
  const pull = (patienceMs: number, registry: string, repository: string, to: string) =>
    run(patienceMs, command, "--src-tls-verify=false", `docker://${reference(registry, repository)}`, to);
  return {
    prepare: (registry, repository) => pull(PATIENCE_MS, registry, repository, `oci:${layout}:v1`),
    push: (registry, repository, patienceMs) =>
      run(patienceMs, command, "--dest-tls-verify=false", `oci:${layout}:v1`, `docker://${reference(registry, repository)}`),
    pull: (registry, repository, patienceMs) =>
      pull(patienceMs, registry, repository, `dir:${join(folder, "pulled", repository.replaceAll("/", "-"))}`),
  };
}
