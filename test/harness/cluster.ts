import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { callAdmin, doorOf } from "../../src/cli/admin-client.ts";
import { STATUS_PATH } from "../../src/cli/status.ts";
import { createToken } from "../../src/cli/token.ts";
import { NodeProcess } from "./node-process.ts";
import { program } from "./program.ts";

const run = promisify(execFile);
const START_MS = 60_000;
const POLL_MS = 20;

export interface ClusterNode {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly data: string;
  readonly pid: number;
  readonly running: boolean;
  /** Log lines since its last start, parsed. */
  readonly log: readonly Record<string, unknown>[];
  /** Sends `signal`, at which the process ends, now or later; @returns its exit code or the signal that ended it; undefined where it did not run */
  kill(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | undefined>;
  /** Starts it again on its data and waits until it serves reads. */
  start(flags?: readonly string[]): Promise<void>;
  /** Resolves with the first log line, earlier ones included, that fits. */
  logged(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
}

export interface NodeStatus {
  readonly name: string;
  readonly peerId: string;
  readonly role: string;
  readonly alive: boolean;
  readonly appliedIndex: number;
  readonly blobs: number;
  readonly draining: boolean;
  /** Copies that the catalog lists for it. */
  readonly copies: number;
  readonly quarantined?: number;
  readonly scrub?: { readonly running: boolean; readonly endedAt?: string };
}

export interface ClusterStatus {
  readonly clusterId: string;
  readonly leader: string | undefined;
  readonly commitIndex: number;
  readonly nodes: readonly NodeStatus[];
  readonly underReplicated: { readonly blobs: number; readonly bytes: number };
  readonly moving: { readonly blobs: number; readonly bytes: number };
  readonly quarantined: number;
  readonly warnings: readonly string[];
}

export interface JoinToken {
  readonly token: string;
  readonly join: readonly string[];
}

export interface Cluster {
  readonly nodes: readonly ClusterNode[];
  readonly folder: string;
  status(node?: ClusterNode): Promise<ClusterStatus>;
  /** The first status that fits, of a node that runs. */
  statusThat(fits: (status: ClusterStatus) => boolean, otherwise: string): Promise<ClusterStatus>;
  /** The leader, as a node that runs says; asked again through an election. */
  leader(): Promise<ClusterNode>;
  /** Starts one more node that joins through the first one that runs. */
  grow(name: string, token?: JoinToken): Promise<ClusterNode>;
  /** A join token, made over the admin socket of a node that runs. */
  token(): Promise<JoinToken>;
  stop(): Promise<void>;
}

/** Below what Linux gives to outgoing connections (32768 and up), so that none takes the port of a node while that node restarts. */
const FIRST_PORT = 20_000;
const PORTS = 12_000;

/** Ports that nothing listens on right now, and that no outgoing connection will be given. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = createServer();
    const port = FIRST_PORT + randomInt(PORTS);
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (free) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

/** Runs the CLI as a user would and answers its standard output. */
export async function roadstead(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [await program(), ...args], { maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

class LoopbackNode extends NodeProcess implements ClusterNode {
  readonly port: number;
  readonly data: string;
  readonly #p2p: number;
  readonly #env: NodeJS.ProcessEnv;
  readonly #core: string | undefined;
  readonly #main: string | undefined;

  constructor(name: string, port: number, p2p: number, data: string, options: ClusterOptions) {
    super(name);
    this.port = port;
    this.#p2p = p2p;
    this.data = data;
    this.#env = { ROADSTEAD_RAFT_TICK: "50ms", ...options.env, ...options.envOf?.(name) };
    this.#core = options.core;
    this.#main = options.main;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(flags: readonly string[] = []): Promise<void> {
    const at = ["--data", this.data, "--http", `127.0.0.1:${this.port}`, "--p2p", `127.0.0.1:${this.#p2p}`, "--name", this.name];
    const pin = this.#core === undefined ? [] : ["taskset", "-c", this.#core];
    const command = [...pin, process.execPath, this.#main ?? (await program()), "serve", ...at, ...flags];
    await this.launch({ command, env: this.#env });
  }
}

export interface ClusterOptions {
  readonly nodes?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** What one node has beside it, by its name: `n1` is the founder. */
  readonly envOf?: (name: string) => NodeJS.ProcessEnv;
  /** The entry that its processes run, where it is not that of the program as published. */
  readonly main?: string;
  /** Pins every node to this core, for measurements. */
  readonly core?: string;
  /** Makes each node's data folder before its first start, and takes back what it made when the cluster is stopped. */
  readonly disk?: { mount(folder: string): Promise<void>; unmount(folder: string): Promise<void> };
}

/** A cluster of real processes on loopback, each node ready to serve reads; its data goes with `stop`. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const count = options.nodes ?? 3;
  const folder = await mkdtemp(join(tmpdir(), "roadstead-cluster-"));
  const nodes: LoopbackNode[] = [];

  const make = async (name: string): Promise<LoopbackNode> => {
    const [port = 0, p2p = 0] = await freePorts(2);
    const node = new LoopbackNode(name, port, p2p, join(folder, name), options);
    await options.disk?.mount(node.data);
    nodes.push(node);
    return node;
  };
  const token = async (): Promise<JoinToken> => {
    const seed = nodes.find((node) => node.running)!;
    // While a member that has just joined becomes a voter on a busy machine there may be no quorum for a while: an operator tries again.
    return asked(
      () =>
        createToken(doorOf({ data: seed.data }, {}), { uses: 1, ttl: "1h" }).catch((error: unknown) => {
          if (!String(error).includes("the node answered 503")) throw error;
          return undefined;
        }),
      "no token could be made: the cluster had no quorum",
    );
  };
  const joined = async (name: string, given?: JoinToken): Promise<LoopbackNode> => {
    const { join: addresses, token: secret } = given ?? (await token());
    const node = await make(name);
    await node.start(["--join", addresses[0]!, "--token", secret]);
    return node;
  };
  const cluster: Cluster = {
    nodes,
    folder,
    async status(node = nodes.find((other) => other.running)!) {
      return (await callAdmin(doorOf({ data: node.data }, {}), "GET", STATUS_PATH)) as ClusterStatus;
    },
    statusThat: (fits, otherwise) =>
      asked(async () => {
        const status = await cluster.status();
        return fits(status) ? status : undefined;
      }, otherwise),
    leader: () =>
      asked(async () => {
        const { leader } = await cluster.status();
        return nodes.find((other) => other.name === leader && other.running);
      }, "no leader among the nodes of this test"),
    grow: joined,
    token,
    async stop() {
      await Promise.all(nodes.map((node) => node.kill("SIGKILL")));
      for (const node of nodes) await options.disk?.unmount(node.data);
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await (await make("n1")).start(["--bootstrap"]);
    for (let i = 2; i <= count; i += 1) await joined(`n${i}`);
    await allVote(cluster);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

/** With two voters, as before the third one is promoted, nothing can be written while one is down: tests that kill begin after that. */
async function allVote(cluster: Cluster): Promise<void> {
  await asked(async () => {
    const { nodes } = await cluster.status();
    return nodes.length % 2 === 0 || nodes.every((node) => node.role === "voter") || undefined;
  }, "not all of the members vote");
}

/** Asks every few milliseconds until there is an answer, for as long as a start may take. */
async function asked<T>(question: () => Promise<T | undefined>, otherwise: string): Promise<T> {
  for (const until = performance.now() + START_MS; performance.now() < until; await pause(POLL_MS)) {
    const answer = await question();
    if (answer !== undefined) return answer;
  }
  throw new Error(otherwise);
}
