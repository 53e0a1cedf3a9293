import type { Random } from "../../src/core/random.ts";
import type { Host } from "./host.ts";
import type { HostCluster } from "./host-cluster.ts";
import { between } from "./network.ts";
import type { RunRecord } from "./record.ts";

/** What a fault touches: two of one realm, or two that meet one host, are not had at once. */
export type Realm = "network" | "process" | "link" | "disk" | "membership";

/** A fault that has begun. */
export interface Fault {
  /** For people. */
  readonly what: string;
  /** Hosts that another fault of the same round leaves alone. */
  readonly met: readonly Host[];
  /** Hosts that have no contact with a majority of the voters because of it. */
  readonly isolated?: readonly Host[];
  end(): Promise<void>;
}

export interface Ground {
  readonly cluster: HostCluster;
  readonly record: RunRecord;
  readonly random: Random;
  /** Members that no other fault of this round meets. */
  readonly free: readonly Host[];
}

export interface FaultKind {
  readonly kind: string;
  readonly realm: Realm;
  /** It leaves no host for another fault. */
  readonly isAlone?: boolean;
  begin(ground: Ground): Promise<Fault>;
}

/** For how long repair, or a drain, may take on a machine that has other things to do. */
const REPAIR_MS = 90_000;
const FULL_LEAVES_MIB = [60, 8, 0] as const;
const SLOW_KILOBITS = 5_000;
const LOSS_SHARE = 0.2;

const namesOf = (hosts: readonly Host[]): string => hosts.map(({ name }) => name).join(" ");
const numbersOf = (hosts: readonly Host[]): number[] => hosts.map(({ number }) => number);

/** Another order of them, by the seed. */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(Math.floor(random.float() * left.length), 1));
  return order;
}

function oneOf(ground: Ground, fits: (host: Host) => boolean = () => true): Host {
  const [host] = shuffled(ground.free.filter(fits), ground.random);
  if (host === undefined) throw new Error("no host is free for this fault");
  return host;
}

/** kill -9, of one or of as many as leaves a majority; started again at the end. */
const killed: FaultKind = {
  kind: "kill -9",
  realm: "process",
  async begin(ground) {
    const few = Math.floor((ground.cluster.members.length - 1) / 2);
    const victims = shuffled(ground.free, ground.random).slice(0, 1 + Math.floor(ground.random.float() * few));
    await Promise.all(victims.map((host) => host.kill()));
    return { what: namesOf(victims), met: victims, end: () => startAll(victims) };
  },
};

/** All at once, as when the power of a rack goes (what was written to the page cache stays). */
const allKilled: FaultKind = {
  kind: "kill -9 of all",
  realm: "process",
  isAlone: true,
  async begin(ground) {
    const victims = [...ground.free];
    await Promise.all(victims.map((host) => host.kill()));
    return { what: namesOf(victims), met: victims, end: () => startAll(victims) };
  },
};

async function startAll(victims: readonly Host[]): Promise<void> {
  await Promise.all(victims.map((host) => host.start()));
}

const paused: FaultKind = {
  kind: "stop and continue",
  realm: "process",
  async begin(ground) {
    const victim = oneOf(ground);
    victim.pause();
    return { what: victim.name, met: [victim], end: async () => victim.resume() };
  },
};

const restarted: FaultKind = {
  kind: "graceful stop",
  realm: "process",
  async begin(ground) {
    const victim = oneOf(ground);
    await victim.stop();
    return { what: victim.name, met: [victim], end: () => victim.start() };
  },
};

async function cutAway(
  { cluster }: Ground,
  pairs: readonly (readonly [number, number])[],
  what: string,
  groups: readonly (readonly Host[])[] = [],
): Promise<Fault> {
  const isolated = groups.length === 0 ? [] : await isolatedOf(cluster, groups);
  await cluster.network.cut(pairs);
  return { what, met: [], isolated, end: () => cluster.network.mend(pairs) };
}

/** Of groups that do not hear each other, those without a majority of the voters. */
async function isolatedOf(cluster: HostCluster, groups: readonly (readonly Host[])[]): Promise<readonly Host[]> {
  // a newcomer that is about to vote would make a majority of what was none.
  await cluster.until("the voters are as many as they are to be", () => cluster.isVoting());
  const voters = new Set((await cluster.status()).nodes.flatMap(({ role, name }) => (role === "voter" ? [name] : [])));
  const majority = Math.floor(voters.size / 2) + 1;
  return groups.filter((group) => group.filter(({ name }) => voters.has(name)).length < majority).flat();
}

const minority: FaultKind = {
  kind: "partition, a minority",
  realm: "network",
  async begin(ground) {
    const all = shuffled(ground.cluster.members, ground.random);
    const few = Math.floor((all.length - 1) / 2);
    const some = all.slice(0, 1 + Math.floor(ground.random.float() * few));
    const others = all.filter((host) => !some.includes(host));
    return cutAway(ground, between(numbersOf(some), numbersOf(others)), `${namesOf(some)} | ${namesOf(others)}`, [some, others]);
  },
};

const noMajority: FaultKind = {
  kind: "partition, no majority",
  realm: "network",
  async begin(ground) {
    const all = shuffled(ground.cluster.members, ground.random);
    const third = Math.ceil(all.length / 3);
    const groups = [all.slice(0, third), all.slice(third, 2 * third), all.slice(2 * third)].filter((group) => group.length > 0);
    const pairs = groups.flatMap((group, at) => groups.slice(at + 1).flatMap((other) => between(numbersOf(group), numbersOf(other))));
    return cutAway(ground, pairs, groups.map(namesOf).join(" | "), groups);
  },
};

/** One hears the others and is not heard, or the other way about; half of the time it is the leader. */
const oneWay: FaultKind = {
  kind: "partition, one-way",
  realm: "network",
  async begin(ground) {
    const { cluster, random } = ground;
    const { leader } = await cluster.status();
    const [any] = shuffled(cluster.members, random);
    const victim = (random.float() < 0.5 ? cluster.members.find(({ name }) => name === leader) : undefined) ?? any!;
    const others = cluster.members.filter((host) => host !== victim);
    const isMute = random.float() < 0.5;
    const pairs = others.map(({ number }) => (isMute ? ([victim.number, number] as const) : ([number, victim.number] as const)));
    return cutAway(ground, pairs, `${victim.name} ${isMute ? "is not heard" : "hears nobody"}`);
  },
};

/** One cable of the many: two hosts do not hear each other, or one of them not the other; all the others hear both. */
const pair: FaultKind = {
  kind: "partition, one pair",
  realm: "network",
  async begin(ground) {
    const [one, other] = shuffled(ground.cluster.members, ground.random).map(({ number }) => number);
    const both = between([one!], [other!]);
    const cut = ground.random.float() < 0.5 ? both : both.slice(0, 1);
    return cutAway(ground, cut, `h${one} ${cut.length === 2 ? "|" : "-/->"} h${other}`);
  },
};

/** Two halves that share one host. */
const bridge: FaultKind = {
  kind: "partition, bridge",
  realm: "network",
  async begin(ground) {
    const [middle, ...rest] = shuffled(ground.cluster.members, ground.random);
    const half = Math.floor(rest.length / 2);
    const [left, right] = [rest.slice(0, half), rest.slice(half)];
    return cutAway(ground, between(numbersOf(left), numbersOf(right)), `${namesOf(left)} | ${middle!.name} | ${namesOf(right)}`);
  },
};

const slow: FaultKind = {
  kind: "slow link",
  realm: "link",
  async begin(ground) {
    const victim = oneOf(ground);
    const { network } = ground.cluster;
    await network.throttle(victim.number, SLOW_KILOBITS);
    return { what: victim.name, met: [victim], end: () => network.throttle(victim.number, undefined) };
  },
};

const lossy: FaultKind = {
  kind: "packet loss",
  realm: "link",
  async begin(ground) {
    const victim = oneOf(ground);
    const { network } = ground.cluster;
    await network.lose(victim.number, LOSS_SHARE);
    return { what: victim.name, met: [victim], end: () => network.lose(victim.number, 0) };
  },
};

/** Full for blobs, for manifests too, or to the last byte. */
const full: FaultKind = {
  kind: "full disk",
  realm: "disk",
  async begin(ground) {
    const victim = oneOf(ground, ({ diskMib }) => diskMib !== undefined);
    const [leave = 0] = shuffled(FULL_LEAVES_MIB, ground.random);
    await victim.fillDisk(leave);
    return { what: `${victim.name}, ${leave} MiB left`, met: [victim], end: () => victim.freeDisk() };
  },
};

/** A disk is lost for good: its host joins as a new member, once the old one was removed or in its place. The next is lost only once no blob is short of copies. */
const wiped: FaultKind = {
  kind: "wiped disk",
  realm: "membership",
  async begin(ground) {
    const { cluster } = ground;
    await cluster.until("no blob is short of copies, so that a disk may be lost", () => cluster.isWhole(), REPAIR_MS);
    const victim = oneOf(ground);
    const isReplaced = ground.random.float() < 0.5;
    await victim.kill();
    await victim.wipe();
    return {
      what: `${victim.name}, ${isReplaced ? "replaced" : "removed"}`,
      met: [victim],
      async end() {
        if (isReplaced) await cluster.replace(victim, REPAIR_MS);
        else {
          await cluster.removeMember(victim);
          await cluster.join(victim);
        }
        await cluster.until("repair after a lost disk", () => cluster.isWhole(), REPAIR_MS);
      },
    };
  },
};

/** One is drained, removed and comes back with an empty folder. */
const drained: FaultKind = {
  kind: "drain, remove, join again",
  realm: "membership",
  async begin(ground) {
    const victim = oneOf(ground);
    await ground.cluster.drainAway(victim, REPAIR_MS);
    return { what: victim.name, met: [victim], end: () => ground.cluster.join(victim) };
  },
};

/** One more joins, and goes again. */
const grown: FaultKind = {
  kind: "join, drain, remove",
  realm: "membership",
  async begin({ cluster }) {
    const guest = cluster.hosts.find((host) => !cluster.members.includes(host)) ?? (await cluster.addHost());
    await cluster.join(guest);
    return { what: guest.name, met: [guest], end: () => cluster.drainAway(guest, REPAIR_MS) };
  },
};

export const FAULT_KINDS: readonly FaultKind[] = [
  killed,
  minority,
  paused,
  oneWay,
  pair,
  wiped,
  bridge,
  lossy,
  noMajority,
  full,
  drained,
  slow,
  grown,
  restarted,
  allKilled,
];
