import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePorts } from "../../test/harness/cluster.ts";
import { until } from "./cluster.ts";
import type { Summary } from "./latencies.ts";
import { started } from "./started.ts";

const execute = promisify(execFile);

/** Three members of Debian's `etcd-server` on loopback, and the Go client of etcd itself as the load. */
export class EtcdCluster {
  readonly #children: readonly ChildProcess[];
  readonly #clients: readonly string[];
  readonly #load: string;

  private constructor(children: readonly ChildProcess[], clients: readonly string[], load: string) {
    this.#children = children;
    this.#clients = clients;
    this.#load = load;
  }

  static async start(folder: string): Promise<EtcdCluster> {
    const load = join(folder, "etcd-load");
    await execute("go", ["build", "-o", load, "."], { cwd: join(import.meta.dirname, "etcd-load") });
    const ports = await freePorts(6);
    const names = ["m1", "m2", "m3"];
    const url = (at: number): string => `http://127.0.0.1:${ports[at]}`;
    const initial = names.map((name, at) => `${name}=${url(at + 3)}`).join(",");
    const children = names.map((name, at) =>
      started(
        spawn(
          "etcd",
          [
            ["--name", name, "--data-dir", join(folder, name)],
            ["--listen-client-urls", url(at), "--advertise-client-urls", url(at)],
            ["--listen-peer-urls", url(at + 3), "--initial-advertise-peer-urls", url(at + 3)],
            ["--initial-cluster", initial, "--initial-cluster-state", "new", "--log-level", "error"],
          ].flat(),
          { stdio: "ignore" },
        ),
      ),
    );
    const cluster = new EtcdCluster(
      children,
      names.map((_, at) => `127.0.0.1:${ports[at]}`),
      load,
    );
    await until(async () => (await cluster.#leader()) !== undefined);
    return cluster;
  }

  /** Puts of `COMMAND_BYTES` through the leader. */
  async put(callers: number, warmUpMs: number, measuredMs: number, valueBytes: number): Promise<Summary> {
    const leader = await this.#leader();
    if (leader === undefined) throw new Error("etcd has no leader");
    const args = [
      ["-endpoint", leader, "-callers", `${callers}`, "-bytes", `${valueBytes}`],
      ["-warm-up", `${warmUpMs}ms`, "-measured", `${measuredMs}ms`],
    ];
    const load = execute(this.#load, args.flat());
    started(load.child);
    const { stdout } = await load;
    return JSON.parse(stdout) as Summary;
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
      }),
    );
  }

  /** By the JSON gateway: the member whose id is the leader's. */
  async #leader(): Promise<string | undefined> {
    for (const client of this.#clients) {
      try {
        const response = await fetch(`http://${client}/v3/maintenance/status`, { method: "POST", body: "{}" });
        const { header, leader } = (await response.json()) as { header: { member_id: string }; leader?: string };
        if (leader !== undefined && leader === header.member_id) return client;
      } catch {
        // It is not up yet.
      }
    }
    return undefined;
  }
}
