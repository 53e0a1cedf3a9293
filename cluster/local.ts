// `npm run cluster`: N nodes on this machine, for trying things out and for development.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { callAdmin, socketOf } from "../src/cli/admin-client.ts";
import { STATUS_PATH } from "../src/cli/status.ts";
import { createToken } from "../src/cli/token.ts";
import { ChildNode, describeEnd } from "./child-node.ts";
import { takenPorts } from "./ports.ts";

const P2P_OFFSET = 100;
/** What a later run has to know. */
const NOTE = "local.json";
const NODES_MAX = 9;
const NODES_DEFAULT = 3;
const LEADER_TRIES = 50;
const LEADER_WAIT_MS = 100;
const USAGE = `npm run cluster -- [options]

  --nodes N       how many nodes (default 3, or as many as there are by now; at most ${NODES_MAX})
  --base-port P   HTTP port of the first; the next ones follow, and ${P2P_OFFSET} above them the nodes speak to each other (default 5001)
  --data DIR      where their data lies (default .roadstead)
  --fresh         forget the data of an earlier run
`;

interface Options {
  readonly nodes: number;
  readonly basePort: number;
  readonly folder: string;
  readonly fresh: boolean;
}

class Refusal extends Error {}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string" },
      "base-port": { type: "string", default: "5001" },
      data: { type: "string", default: ".roadstead" },
      fresh: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) throw new Refusal(USAGE);
  const known = values.fresh ? 0 : knownNodes(values.data);
  const nodes = values.nodes === undefined ? Math.max(NODES_DEFAULT, known) : Number(values.nodes);
  const basePort = Number(values["base-port"]);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > NODES_MAX) {
    throw new Refusal(`--nodes ${values.nodes}: expected a number from 1 to ${NODES_MAX}`);
  }
  // one that is left out is one that is down: with too many of them nothing can be written, and "ready" would be wrong
  if (nodes < known) {
    throw new Refusal(
      `the cluster in ${values.data} has ${known} nodes: leave --nodes out, give ${known} or more, another --data, or --fresh to forget it`,
    );
  }
  if (!Number.isInteger(basePort) || basePort < 1 || basePort + P2P_OFFSET + nodes > 65_535) {
    throw new Refusal(`--base-port ${values["base-port"]}: expected a port from 1 to ${65_535 - P2P_OFFSET - nodes}`);
  }
  return { nodes, basePort, folder: values.data, fresh: values.fresh };
}

/** Those that an earlier run has made members, up to the last of them. */
function knownNodes(folder: string): number {
  const numbers = Array.from({ length: NODES_MAX }, (_, index) => index + 1);
  return numbers.findLast((number) => existsSync(join(folder, `node-${number}`, "node.json"))) ?? 0;
}

function plan({ nodes, basePort, folder }: Options): readonly ChildNode[] {
  return Array.from(
    { length: nodes },
    (_, index) => new ChildNode({ name: `node-${index + 1}`, folder, httpPort: basePort + index, p2pPort: basePort + P2P_OFFSET + index }),
  );
}

async function refuseTakenPorts(nodes: readonly ChildNode[], basePort: number): Promise<void> {
  const taken = await takenPorts(nodes.flatMap(({ plan: { httpPort, p2pPort } }) => [httpPort, p2pPort]));
  if (taken.length === 0) return;
  const ports = taken.length === 1 ? `port ${taken[0]} is` : `ports ${taken.join(", ")} are`;
  throw new Refusal(
    `${ports} taken: stop what listens there (another cluster?), or choose others: npm run cluster -- --base-port ${basePort + 1_000}`,
  );
}

/** What earlier runs left, with more nodes or fewer. Anything else in the folder stays. */
function forget(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder))
    if (/^node-\d+(?:\.log)?$/.test(name) || name === NOTE) rmSync(join(folder, name), { recursive: true });
}

/** The nodes know each other by their addresses: all of them cannot move at once. */
function keepPorts({ folder, basePort }: Options): void {
  const note = join(folder, NOTE);
  const known: unknown = existsSync(note) ? JSON.parse(readFileSync(note, "utf8")).basePort : basePort;
  if (known !== basePort) {
    throw new Refusal(`the cluster in ${folder} was made with --base-port ${known}: give that, another --data, or --fresh to forget it`);
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(note, `${JSON.stringify({ basePort })}\n`);
}

/** First run: the first node makes the cluster, the others join with a token. Later: those that are in it just start. */
async function startAll(nodes: readonly ChildNode[], onEnd: (node: ChildNode, how: number | string) => void): Promise<void> {
  const [first] = nodes;
  if (first === undefined) return;
  const start = (node: ChildNode, entry: readonly string[]): Promise<void> => node.start(entry, (how) => onEnd(node, how));
  const members = nodes.filter((node) => node.isMember);
  await Promise.all(members.map((node) => start(node, [])));
  if (members.length === 0) await start(first, ["--bootstrap"]);
  const door = members[0] ?? first;
  const newcomers = nodes.filter((node) => node !== first && !members.includes(node));
  if (!members.includes(first) && members.length > 0) newcomers.unshift(first);
  if (newcomers.length === 0) return;
  const { token } = await createToken({ socket: socketOf(door.data) }, { uses: newcomers.length, ttl: "1h" });
  for (const node of newcomers) await start(node, ["--join", `127.0.0.1:${door.plan.p2pPort}`, "--token", token]);
}

/** A cluster that has just been started again elects one first. */
async function leaderName(door: ChildNode): Promise<string | undefined> {
  for (let tries = 0; tries < LEADER_TRIES; tries += 1) {
    const status = await callAdmin({ socket: socketOf(door.data) }, "GET", STATUS_PATH);
    const leader: unknown = typeof status === "object" && status !== null && "leader" in status ? status.leader : undefined;
    if (typeof leader === "string") return leader;
    await setTimeout(LEADER_WAIT_MS);
  }
  return undefined;
}

function summary(nodes: readonly ChildNode[], leader: string | undefined, folder: string): string {
  const port = (index: number): number => nodes[index % nodes.length]?.plan.httpPort ?? 0;
  const rows = nodes.map(({ plan: { name, httpPort } }) => `  ${name}  http://127.0.0.1:${httpPort}${name === leader ? "  leader" : ""}`);
  return `roadstead: ${nodes.length === 1 ? "one node is" : `a cluster of ${nodes.length} nodes is`} ready; data and logs in ${join(folder, "/")}

${rows.join("\n")}
${leader === undefined ? "\nNo leader yet: pushes wait until there is one.\n" : ""}
Try${nodes.length === 1 ? "" : ", each through another node"}:
  docker pull hello-world && docker tag hello-world 127.0.0.1:${port(0)}/hello && docker push 127.0.0.1:${port(0)}/hello
  podman pull --tls-verify=false 127.0.0.1:${port(1)}/hello
  skopeo inspect --tls-verify=false docker://127.0.0.1:${port(2)}/hello
  curl http://127.0.0.1:${port(1)}/v2/_catalog

Ctrl-C stops ${nodes.length === 1 ? "it" : "all"}; started again, ${nodes.length === 1 ? "it goes" : "they go"} on with the data.
`;
}

async function main(): Promise<void> {
  const options = readOptions();
  const nodes = plan(options);
  await refuseTakenPorts(nodes, options.basePort);
  if (options.fresh) forget(options.folder);
  keepPorts(options);
  let stopping = false;
  const stop = (): void => {
    const signal = stopping ? "SIGKILL" : "SIGTERM";
    if (!stopping) process.stdout.write("\nStopping ...");
    stopping = true;
    void Promise.all(nodes.map((node) => node.stop(signal))).then(() => {
      process.stdout.write(" all stopped.\n");
      process.exit();
    });
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);
  try {
    await startAll(nodes, (node, how) => {
      if (!stopping)
        process.stderr.write(`${node.plan.name} has ended (${describeEnd(how)}). The end of ${node.logFile}:\n${node.tail()}\n`);
    });
    process.stdout.write(summary(nodes, await leaderName(nodes[0] as ChildNode), options.folder));
  } catch (error) {
    if (stopping) return;
    stopping = true;
    await Promise.all(nodes.map((node) => node.stop()));
    throw error;
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof Refusal && error.message === USAGE ? 0 : 1;
}
