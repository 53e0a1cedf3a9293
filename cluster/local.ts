// `npm run cluster`: N nodes on this machine, for trying things out and for development.
import { existsSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { callAdmin, socketOf } from "../src/cli/admin-client.ts";
import { STATUS_PATH } from "../src/cli/status.ts";
import { createToken } from "../src/cli/token.ts";
import { ChildNode, describeEnd } from "./child-node.ts";
import { takenPorts } from "./ports.ts";

const P2P_OFFSET = 100;
const USAGE = `npm run cluster -- [options]

  --nodes N       how many nodes (default 3, at most 9)
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
      nodes: { type: "string", default: "3" },
      "base-port": { type: "string", default: "5001" },
      data: { type: "string", default: ".roadstead" },
      fresh: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) throw new Refusal(USAGE);
  const nodes = Number(values.nodes);
  const basePort = Number(values["base-port"]);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 9) throw new Refusal(`--nodes ${values.nodes}: expected a number from 1 to 9`);
  if (!Number.isInteger(basePort) || basePort < 1 || basePort + P2P_OFFSET + nodes > 65_535) {
    throw new Refusal(`--base-port ${values["base-port"]}: expected a port from 1 to ${65_535 - P2P_OFFSET - nodes}`);
  }
  return { nodes, basePort, folder: values.data, fresh: values.fresh };
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

/** Only what a node wrote: a folder that holds something else stays. */
function forget(nodes: readonly ChildNode[]): void {
  for (const node of nodes) {
    if (existsSync(node.data) && !node.isMember && existsSync(join(node.data, "package.json"))) {
      throw new Refusal(`${node.data} is no node's data folder; it stays. Choose another --data`);
    }
    rmSync(node.data, { recursive: true, force: true });
    rmSync(node.logFile, { force: true });
  }
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

async function leaderName(door: ChildNode): Promise<string | undefined> {
  const status = await callAdmin({ socket: socketOf(door.data) }, "GET", STATUS_PATH);
  const leader: unknown = typeof status === "object" && status !== null && "leader" in status ? status.leader : undefined;
  return typeof leader === "string" ? leader : undefined;
}

function summary(nodes: readonly ChildNode[], leader: string | undefined, folder: string): string {
  const port = (index: number): number => nodes[index % nodes.length]?.plan.httpPort ?? 0;
  const rows = nodes.map(({ plan: { name, httpPort } }) => `  ${name}  http://127.0.0.1:${httpPort}${name === leader ? "  leader" : ""}`);
  return `roadstead: ${nodes.length === 1 ? "one node is" : `a cluster of ${nodes.length} nodes is`} ready; data and logs in ${relative(".", folder) || "."}/

${rows.join("\n")}

Try, each through another node:
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
  if (options.fresh) forget(nodes);
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
