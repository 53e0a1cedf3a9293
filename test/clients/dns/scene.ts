import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { socketOf } from "../../../src/cli/admin-client.ts";
import { createToken } from "../../../src/cli/token.ts";
import { NodeProcess } from "../../harness/node-process.ts";
import { program } from "../../harness/program.ts";
import type { Zone } from "./dns-server.ts";
import { DnsNamespace } from "./namespace.ts";

export const PORT = 5000;
const NAME_SERVER = "10.77.0.53";
/** Two nodes are reached by IPv4, one by IPv6. */
export const NODES = ["10.77.0.1", "10.77.0.2", "fd00:77::3"] as const;

/** What may be wrong with one of a name's addresses. */
export const FAULTS = {
  dead: { ipv4: "10.77.0.11", ipv6: "fd00:77::11" },
  hung: { ipv4: "10.77.0.12", ipv6: "fd00:77::12" },
  silent: { ipv4: "10.77.0.13", ipv6: "fd00:77::13" },
  unavailable: { ipv4: "10.77.0.14", ipv6: "fd00:77::14" },
} as const;
export type Fault = keyof typeof FAULTS;
export const ALL_FAULTS = Object.keys(FAULTS) as readonly Fault[];

/** The addresses of a name beside the bad one, which is the first to be tried: of its own family, or of the other one. */
export type Beside = "ipv4" | "ipv6" | "other";

export function nameOf(fault: Fault, beside: Beside): string {
  return `${fault}-${beside}.test`;
}
export const GOOD = "good.test";

function zone(): Zone {
  const [first, second, third] = NODES;
  const fixed = (...addresses: readonly string[]) => ({ addresses, rotates: false });
  const bad = ALL_FAULTS.flatMap((fault) => {
    const { ipv4, ipv6 } = FAULTS[fault];
    return [
      [nameOf(fault, "ipv4"), fixed(ipv4, first, second)],
      [nameOf(fault, "ipv6"), fixed(ipv6, third)],
      [nameOf(fault, "other"), fixed(ipv4, third)],
    ] as const;
  });
  return { [GOOD]: { addresses: NODES, rotates: true }, ...Object.fromEntries(bad) };
}

export interface DnsScene {
  readonly folder: string;
  readonly within: readonly string[];
  readonly registries: readonly string[];
  readonly nodes: readonly NodeProcess[];
  close(): Promise<void>;
}

/** Three nodes with addresses of their own in a namespace, where names have them and a bad one beside them. */
export async function openDnsScene(): Promise<DnsScene> {
  const folder = await mkdtemp(join(tmpdir(), "roadstead-dns-"));
  const namespace = new DnsNamespace(folder);
  const nodes: NodeProcess[] = [];
  const records = zone();
  const close = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()));
    await namespace.close();
    await rm(folder, { recursive: true, force: true });
  };
  const ofFault = (fault: Fault): readonly string[] => [FAULTS[fault].ipv4, FAULTS[fault].ipv6];
  const start = async (entry: readonly string[]): Promise<void> => {
    const at = nodes.length;
    const node = new NodeProcess(`n${at + 1}`);
    nodes.push(node);
    const address = NODES[at] ?? "";
    const http = `${address.includes(":") ? `[${address}]` : address}:${PORT}`;
    const place = ["--data", join(folder, node.name), "--http", http, "--insecure-open", "--p2p", `127.0.0.1:${5101 + at}`];
    const command = [...namespace.within, process.execPath, await program(), "serve", "--name", node.name, ...place, ...entry];
    await node.launch({ command, env: {} });
  };
  try {
    const addresses = [NAME_SERVER, ...NODES, ...ofFault("dead"), ...ofFault("hung"), ...ofFault("unavailable")];
    const plan = { nameServer: NAME_SERVER, zone: records, port: PORT, hung: ofFault("hung"), unavailable: ofFault("unavailable") };
    await namespace.open(addresses, ofFault("silent"), plan);
    await start(["--bootstrap"]);
    const door = { socket: socketOf(join(folder, "n1")) };
    const { token, join: seeds } = await createToken(door, { uses: NODES.length - 1, ttl: "1h" });
    for (const _ of NODES.slice(1)) await start(["--join", seeds[0] ?? "", "--token", token]);
  } catch (error) {
    await close();
    throw error;
  }
  return { folder, within: namespace.within, registries: Object.keys(records), nodes, close };
}
