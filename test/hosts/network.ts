import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { isAlive, whyNoNamespaces } from "../harness/namespaces.ts";

const run = promisify(execFile);
/** Names of this run's namespaces and interfaces: the prefix and the pid, so that a later run knows what a dead one has left. */
const PREFIX = "rsh";
const OURS = new RegExp(`^${PREFIX}(\\d+)[a-z]`);
/** Of what iptables may be, the kind whose rules hold in a namespace (stack.md). */
const RESTORE = ["iptables-legacy-restore", "iptables-restore"];
const RESTORE_6 = ["ip6tables-legacy-restore", "ip6tables-restore"];
const DRIVER = 254;
/** 10.213.0.0/16 in networks of 256 addresses, and as many of IPv6 (unique local addresses, RFC 4193). */
const NETWORKS = 256;

/** Why no hosts can be made here; undefined where they can. */
export function whyNoHosts(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root, to make network namespaces";
  for (const tool of ["ip", "tc", "mount"]) if (!isThere(tool)) return `needs ${tool} (Debian: iproute2, mount)`;
  if (!RESTORE.some(isThere)) return "needs iptables";
  return whyNoNamespaces(PREFIX);
}

function isThere(tool: string): boolean {
  try {
    execFileSync("which", [tool], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** IPv4, and IPv6 where this machine has it. */
interface Family {
  readonly restore: string;
  /** The address of a host, or of the driver. */
  address(number: number): string;
  readonly prefix: number;
}

function familiesOf(net: number): readonly Family[] {
  const restore = RESTORE.find(isThere);
  const restore6 = existsSync("/proc/net/if_inet6") ? RESTORE_6.find(isThere) : undefined;
  return [
    ...(restore === undefined ? [] : [{ restore, address: (number: number) => `10.213.${net}.${number}`, prefix: 24 }]),
    ...(restore6 === undefined
      ? []
      : [{ restore: restore6, address: (number: number) => `fd13:213:${net.toString(16)}::${number}`, prefix: 64 }]),
  ];
}

/** A host's place in the network: an address and a network namespace of its own. */
export interface Place {
  readonly number: number;
  /** The one that its node listens on: IPv4 for odd numbers, IPv6 for even ones where there is any. It sends from either. */
  readonly address: string;
  readonly namespace: string;
}

/** Hosts as network namespaces on one bridge. They reach each other and this process, and nothing else: there is no route out. */
export class HostNetwork {
  readonly #id: string;
  readonly #families: readonly Family[];
  readonly #bridge: string;
  readonly #places = new Map<number, Place>();
  /** `from>to`: packets of the first do not arrive at the second. */
  readonly #cuts = new Set<string>();
  /** Of the packets that arrive at a host, so many are lost. */
  readonly #losses = new Map<number, number>();

  private constructor(families: readonly Family[]) {
    this.#id = `${PREFIX}${process.pid}`;
    this.#families = families;
    this.#bridge = `${this.#id}b`;
  }

  /** Makes the bridge, after what runs that are dead have left was removed. */
  static async create(): Promise<HostNetwork> {
    await sweep();
    const network = new HostNetwork(familiesOf(await freeNetwork()));
    await ip("link", "add", network.#bridge, "type", "bridge");
    for (const { address, prefix } of network.#families) {
      await ip("addr", "add", `${address(DRIVER)}/${prefix}`, "dev", network.#bridge, ...nodad(prefix));
    }
    await ip("link", "set", network.#bridge, "up");
    return network;
  }

  async addHost(number: number): Promise<Place> {
    const namespace = `${this.#id}h${number}`;
    const cable = `${this.#id}v${number}`;
    await ip("netns", "add", namespace);
    await ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    await ip("link", "set", cable, "master", this.#bridge, "up");
    for (const { address, prefix } of this.#families) {
      await ip("-n", namespace, "addr", "add", `${address(number)}/${prefix}`, "dev", "eth0", ...nodad(prefix));
    }
    await ip("-n", namespace, "link", "set", "eth0", "up");
    await ip("-n", namespace, "link", "set", "lo", "up");
    const family = this.#families[(number + 1) % this.#families.length]!;
    const place = { number, address: family.address(number), namespace };
    this.#places.set(number, place);
    return place;
  }

  /** What `from` sends does not arrive at `to`; the other direction is as it was. */
  async cut(pairs: Iterable<readonly [from: number, to: number]>): Promise<void> {
    const touched = new Set<number>();
    for (const [from, to] of pairs) {
      this.#cuts.add(`${from}>${to}`);
      touched.add(to);
    }
    await this.#apply(touched);
  }

  /** Mends these cuts; those of another fault stay. */
  async mend(pairs: Iterable<readonly [from: number, to: number]>): Promise<void> {
    const touched = new Set<number>();
    for (const [from, to] of pairs) if (this.#cuts.delete(`${from}>${to}`)) touched.add(to);
    await this.#apply(touched);
  }

  /** @param share of the packets that arrive at the host and go unheard, 0 to end it */
  async lose(number: number, share: number): Promise<void> {
    if (share === 0) this.#losses.delete(number);
    else this.#losses.set(number, share);
    await this.#apply([number]);
  }

  /** @param kilobits a second that the host may send; undefined for as much as it can */
  async throttle(number: number, kilobits: number | undefined): Promise<void> {
    const at = ["-n", this.#place(number).namespace, "qdisc"];
    if (kilobits === undefined) await run("tc", [...at, "del", "dev", "eth0", "root"]);
    else await run("tc", [...at, "replace", "dev", "eth0", "root", "tbf", "rate", `${kilobits}kbit`, "burst", "32kb", "latency", "400ms"]);
  }

  /** No cut, no loss, no slow link. */
  async mendAll(): Promise<void> {
    this.#cuts.clear();
    this.#losses.clear();
    await this.#apply(this.#places.keys());
    for (const number of this.#places.keys()) await this.throttle(number, undefined).catch(() => undefined); // most have no limit
  }

  async remove(): Promise<void> {
    await removeAll(this.#id);
  }

  #place(number: number): Place {
    const place = this.#places.get(number);
    if (place === undefined) throw new Error(`there is no host ${number} in this network`);
    return place;
  }

  /** Writes all rules of the hosts anew, each host's at once. */
  async #apply(numbers: Iterable<number>): Promise<void> {
    await Promise.all([...numbers].map((number) => this.#filter(this.#place(number))));
  }

  async #filter({ namespace, number }: Place): Promise<void> {
    for (const { restore, address } of this.#families) {
      const rules = ["*filter", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"];
      for (const other of this.#places.keys()) {
        if (this.#cuts.has(`${other}>${number}`)) rules.push(`-A INPUT -s ${address(other)} -j DROP`);
      }
      const share = this.#losses.get(number);
      if (share !== undefined) rules.push(`-A INPUT -i eth0 -m statistic --mode random --probability ${share} -j DROP`);
      await fed("ip", ["netns", "exec", namespace, restore], `${rules.join("\n")}\nCOMMIT\n`);
    }
  }
}

/** An IPv6 address is usable at once only where nobody is asked whether it is taken. */
function nodad(prefix: number): readonly string[] {
  return prefix === 64 ? ["nodad"] : [];
}

/** Each direction between two groups. */
export function between(some: readonly number[], others: readonly number[]): (readonly [number, number])[] {
  return some.flatMap((a) => others.flatMap((b) => [[a, b] as const, [b, a] as const]));
}

async function ip(...args: readonly string[]): Promise<string> {
  return (await run("ip", args)).stdout;
}

async function fed(command: string, args: readonly string[], input: string): Promise<void> {
  const child = spawn(command, args, { stdio: ["pipe", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += String(chunk);
  });
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}: ${said}`);
}

/** A network that no interface here is in yet. */
async function freeNetwork(): Promise<number> {
  const taken = await ip("-4", "-o", "addr");
  for (let at = 0; at < NETWORKS; at += 1) {
    const net = (process.pid + at) % NETWORKS;
    if (!taken.includes(` 10.213.${net}.`)) return net;
  }
  throw new Error("every network of 10.213.0.0/16 is taken: remove what earlier runs left (ip link, ip netns)");
}

/** Removes what runs have left that are dead. */
async function sweep(): Promise<void> {
  const names = [...(await namespaces()), ...(await links())];
  for (const id of new Set(names.map((name) => OURS.exec(name)?.[1]))) {
    if (id !== undefined && !isAlive(Number(id))) await removeAll(`${PREFIX}${id}`);
  }
}

async function namespaces(): Promise<string[]> {
  const lines = (await ip("netns", "list")).split("\n");
  return lines.map((line) => line.split(" ")[0] ?? "").filter((name) => OURS.test(name));
}

async function links(): Promise<string[]> {
  const lines = (await ip("-o", "link", "show")).split("\n");
  return lines.map((line) => (line.split(": ")[1] ?? "").split("@")[0] ?? "").filter((name) => OURS.test(name));
}

/** The processes in a run's namespaces too: one that was stopped by a signal does not hear that its parent is gone. */
async function removeAll(id: string): Promise<void> {
  const isOf = (name: string): boolean => name.startsWith(id) && /^[a-z]/.test(name.slice(id.length));
  for (const namespace of (await namespaces()).filter(isOf)) {
    const pids = (await ip("netns", "pids", namespace)).split("\n").filter((pid) => pid !== "");
    for (const pid of pids) process.kill(Number(pid), "SIGKILL");
    await ip("netns", "del", namespace);
  }
  // Cables go with their namespaces, a moment later.
  for (const link of (await links()).filter(isOf)) await ip("link", "del", link).catch(() => "");
}
