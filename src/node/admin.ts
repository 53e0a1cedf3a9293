import type { Consensus } from "../consensus/consensus.ts";
import type { Membership } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import type { Admin, AuditEntry, ClusterStatus, NodeStatus } from "../http/admin.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Member } from "../metadata/records.ts";
import type { Collector } from "../upkeep/collector.ts";
import { createCollectAdmin } from "./admin-collect.ts";
import { createContentAdmin } from "./admin-content.ts";
import { createMemberAdmin } from "./admin-members.ts";
import { createRecoveryAdmin, LOST_COUNTED, lostWarning } from "./admin-recover.ts";
import { createTokenAdmin } from "./admin-tokens.ts";
import { type Skewed, skewed, skewWarning } from "./clock-skew.ts";
import type { Recovery } from "./recovery.ts";
import { askVitals, type Vitals } from "./status-protocol.ts";
import { type Work, workOf } from "./tasks.ts";
import type { ScrubVitals } from "./upkeep-vitals.ts";
import type { Verification } from "./verification.ts";

export interface AdminOptions {
  readonly consensus: Consensus;
  readonly membership: Pick<Membership, "transferLeader">;
  readonly host: Host;
  readonly collector: Pick<Collector, "state" | "start" | "foresee">;
  readonly verification: Pick<Verification, "state" | "start">;
  readonly recovery: Pick<Recovery, "plan" | "perform">;
  /** The cluster's public key, SPKI DER. */
  readonly publicKey: Uint8Array;
  readonly vitals: () => Promise<Vitals>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export function createAdmin(options: AdminOptions): Admin {
  return {
    status: () => clusterStatus(options),
    audit: (limit) => auditEntries(options, limit),
    ...createRecoveryAdmin(options),
    ...createTokenAdmin(options),
    ...createCollectAdmin(options),
    ...createContentAdmin(options),
    ...createMemberAdmin(options),
  };
}

async function clusterStatus(options: AdminOptions): Promise<ClusterStatus> {
  const { consensus, host, clock, log, vitals } = options;
  const { catalog } = consensus;
  const status = consensus.status();
  const members = catalog.members();
  const answers = await Promise.all(
    members.map(async (member) => {
      if (member.raftId === consensus.self) return { said: await vitals(), skewMs: 0 };
      return skewed(clock, () => askVitals(host, member.peerId, clock, log));
    }),
  );
  const voters = new Set(status.voters);
  const nodes = members.map((member, index) => nodeStatus(member, voters.has(member.raftId), catalog, answers[index]!));
  const own = answers[members.findIndex((member) => member.raftId === consensus.self)]?.said?.upkeep;
  const work = workOf(
    catalog,
    own,
    answers.flatMap(({ said }) => said?.upkeep ?? []),
  );
  const lost = await catalog.lostRecords("", LOST_COUNTED);
  return {
    clusterId: catalog.cluster()?.clusterId ?? "",
    leader: status.cutOff || status.leader === undefined ? undefined : catalog.member(status.leader)?.name,
    commitIndex: status.commitIndex,
    cutOff: status.cutOff,
    nodes,
    lostBlobs: lost.length,
    ...work,
    warnings: [...(await warningsOf(options, nodes, work)), ...lostWarning(lost.length)],
  };
}

function nodeStatus(member: Member, isVoter: boolean, catalog: Catalog, { said: vitals, skewMs }: Skewed): NodeStatus {
  return {
    name: member.name,
    peerId: member.peerId,
    role: isVoter ? "voter" : "learner",
    alive: vitals !== undefined,
    draining: member.draining,
    copies: catalog.copiesOf(member.raftId),
    copyBytes: catalog.copyBytesOf(member.raftId),
    zone: member.zone,
    addresses: member.addresses,
    http: member.http,
    appliedIndex: vitals?.appliedIndex,
    blobs: vitals?.blobs,
    bytes: vitals?.bytes,
    cutOff: vitals?.cutOff,
    disk: vitals?.disk,
    moving: vitals?.upkeep?.moving,
    quarantined: vitals?.upkeep?.quarantined,
    scrub: scrubOf(vitals?.upkeep?.scrub),
    clockAheadMs: skewMs,
  };
}

function scrubOf(scrub: ScrubVitals | undefined): NodeStatus["scrub"] {
  if (scrub === undefined) return undefined;
  const { endedAtMs, ...rest } = scrub;
  return { ...rest, endedAt: endedAtMs === undefined ? undefined : new Date(endedAtMs).toISOString() };
}

async function warningsOf(options: AdminOptions, nodes: readonly NodeStatus[], work: Work): Promise<readonly string[]> {
  const warnings: string[] = [];
  const voters = nodes.filter((node) => node.role === "voter");
  const aliveVoters = voters.filter((node) => node.alive).length;
  const majority = Math.floor(voters.length / 2) + 1;
  warnings.push(...nodes.flatMap(({ name, disk }) => diskWarning(name, disk) ?? []));
  warnings.push(...nodes.flatMap(({ name, clockAheadMs }) => skewWarning(name, clockAheadMs) ?? []));
  if (nodes.length === 1) warnings.push("one copy only: what this node's disk loses is lost; join a second and a third node");
  if (voters.length === 2) warnings.push("two voters: nothing is lost with either, but writes stop while one is down; join a third node");
  if (voters.length > 2 && aliveVoters === majority) warnings.push("no voter to spare: writes stop if one more goes down");
  if (aliveVoters < majority)
    warnings.push(
      `no quorum: ${aliveVoters} of ${voters.length} voters answer, and ${majority} are needed for writes. Start the others; where their disks are lost for good, \`roadstead recover\` makes a cluster of what is left`,
    );
  const names = nodes.map((node) => node.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) warnings.push(`two nodes are called ${twice}: give each a name of its own with --name`);
  warnings.push(...nodes.flatMap(({ name, scrub }) => (scrub?.isLate === true ? scrubWarning(name) : [])));
  if (work.underReplicated.blobs > 0 || (await isSomethingShort(options)))
    warnings.push("some blobs have fewer copies than they are to have; repair is at work while nodes can be reached");
  if (work.quarantined > 0)
    warnings.push(
      "bad copies were found and lie in quarantine/ of the data folder: check that node's disk, and remove them; `roadstead audit` names them",
    );
  return warnings;
}

/** As of now, also where the next survey of this node is yet to find it. */
async function isSomethingShort({ consensus }: AdminOptions): Promise<boolean> {
  const { catalog } = consensus;
  return (await catalog.shortRecords("", 1)).length > 0;
}

function scrubWarning(name: string): string {
  return `${name} cannot read all of its blobs again within durability.scrubEvery: raise its durability.scrubRate`;
}

function diskWarning(name: string, disk: NodeStatus["disk"]): string | undefined {
  switch (disk?.low) {
    case "blobs":
      return `the disk of ${name} is full but for what is kept for its log: it takes no blobs (507); free space on it, or add a node`;
    case "writes":
      return `the disk of ${name} is so full that its log is at risk: it takes neither blobs nor manifests (507); free space on it at once`;
    default:
      return undefined;
  }
}

/** After a barrier where there can be one: the trail of a node that is cut off is worth reading too. */
async function auditEntries({ consensus }: AdminOptions, limit: number): Promise<readonly AuditEntry[]> {
  await consensus.barrier();
  const { catalog } = consensus;
  return catalog.auditTrail(limit).map(({ number, atMs, raftId, action, target, detail }) => ({
    number,
    at: new Date(atMs).toISOString(),
    node: catalog.member(raftId)?.name ?? String(raftId),
    action,
    target,
    detail,
  }));
}
