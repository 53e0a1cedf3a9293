import type { Libp2pEvents } from "@libp2p/interface";
import { type DiskBlobStore, openDiskStore } from "../blobs/disk/blob-store.ts";
import { HashPool } from "../blobs/disk/hash-pool.ts";
import { openDiskUploads } from "../blobs/disk/uploads.ts";
import type { Config } from "../config/settings.ts";
import type { Driver } from "../consensus/driver.ts";
import { DEFAULT_TIMING } from "../consensus/timing.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { parsePeerId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import { projectOf } from "../core/reference.ts";
import type { Host } from "../exchange/libp2p/host.ts";
import { createLibp2pExchange, type Libp2pExchange } from "../exchange/libp2p/libp2p-exchange.ts";
import { askStanding } from "../exchange/libp2p/standing.ts";
import { createAdminApp } from "../http/admin-app.ts";
import { createApp } from "../http/app.ts";
import { createMetrics } from "../http/metrics.ts";
import { listenHttp } from "../http/node-http/server.ts";
import type { MemberFacts } from "../metadata/commands.ts";
import { createRegistry } from "../registry/create.ts";
import { type Audit, AuditTrail } from "../upkeep/audit.ts";
import { startExpiring } from "../upkeep/expire.ts";
import { keepMembers } from "../upkeep/members.ts";
import { keepPresence } from "../upkeep/presence.ts";
import { keepVersion } from "../upkeep/version.ts";
import { type AdminOptions, createAdmin } from "./admin.ts";
import { placeAdminSocket } from "./admin-socket.ts";
import { publicKeyOf } from "./bootstrap.ts";
import { watchSkew } from "./clock-skew.ts";
import type { ClusterKeys, ClusterState } from "./cluster-state.ts";
import { startCollecting } from "./collecting.ts";
import type { Front } from "./front.ts";
import { admitNewcomers } from "./join.ts";
import { type Departure, leave } from "./leave.ts";
import { metricSource } from "./metrics.ts";
import { serveRecovery } from "./recover-protocol.ts";
import { Recovery } from "./recovery.ts";
import { watchRemoval } from "./removal-watch.ts";
import { announceSelf } from "./self-announcement.ts";
import { askReach, askVitals, serveVitals, type Vitals } from "./status-protocol.ts";
import { markSuperseded } from "./superseded.ts";
import { startUpkeep, type Upkeep } from "./upkeep.ts";
import { upkeepVitals } from "./upkeep-vitals.ts";
import { guardVersion } from "./version-guard.ts";

export interface Foundation {
  readonly config: Config;
  readonly data: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly stack: AsyncDisposableStack;
  readonly stopping: AbortSignal;
  readonly front: Front;
  readonly host: Host;
  readonly consensus: Driver;
  readonly state: ClusterState;
  readonly keys: ClusterKeys;
  readonly facts: MemberFacts;
  /** What the audit trail is to say where the cluster was recovered right now, from this node. */
  readonly recovered: string | undefined;
  /** Stops this node and starts it again on its folder. */
  readonly restart: () => void;
}

interface Storage extends Upkeep {
  readonly blobs: DiskBlobStore;
  readonly exchange: Libp2pExchange;
}

export interface Services {
  /** The path of the admin socket. */
  readonly adminSocket: string;
  /** Before all is taken down: clients go elsewhere, and what runs ends, within `shutdown.timeout`. */
  leave(): Promise<void>;
}

/** Everything that stands on consensus: the bytes, the use cases, the background loops, the doors. Resolves when the node serves reads. */
export async function startServices(base: Foundation): Promise<Services> {
  const { config, consensus, clock, random, log, front, host, keys, state, stack } = base;
  const self = { peerId: base.facts.peerId, raftId: state.raftId };
  stack.defer(guardVersion(consensus, (error) => consensus.fail(error)));
  const audit = new AuditTrail({ consensus, clock, log: log.child({ part: "audit" }) });
  stack.defer(() => audit.stop());
  if (base.recovered !== undefined) audit.note({ action: "cluster.recovered", target: state.clusterId, detail: base.recovered });
  const { blobs, exchange, ...upkeep } = await openStorage(base, audit);
  const { repair, rebalance } = upkeep;
  const uploads = openDiskUploads({
    store: blobs,
    clock,
    log: log.child({ part: "uploads" }),
    expireAfterMs: config["uploads.expireAfter"],
  });
  const expiring = startExpiring({ uploads, clock, log });
  stack.defer(async () => {
    expiring.stop();
    await expiring.idle();
  });
  const registry = createRegistry({
    consensus,
    blobs,
    uploads,
    exchange,
    spreader: repair,
    self,
    clock,
    random,
    log: log.child({ part: "registry" }),
    limits: { manifestBytes: config["http.manifestSizeMax"], deadlineMs: config["http.deadline"] },
    assertLogRoom: () => blobs.reserve.assertLogRoom(),
    allowsSparse: (repository) => config["manifests.sparse"].includes(projectOf(repository)),
  });
  const vitals = (): Promise<Vitals> => vitalsOf(base, blobs, upkeep);
  await serveVitals(host, clock, log, vitals);
  await admitNewcomers(host, clock, log.child({ part: "join" }), { consensus, audit, clusterId: state.clusterId, keys });
  const recovery = new Recovery({ ...base, log: log.child({ part: "recovery" }) });
  await serveRecovery(host, clock, recovery);
  watchMembership(base, recovery);
  const collecting = await startCollecting(base, blobs, audit);
  const adminSocket = await openAdminDoor(base, { recovery, ...collecting, vitals });
  const departure: Departure = { stopping: false, closing: false };
  const readiness = {
    stopping: () => departure.stopping,
    reads: () => isInCluster(consensus),
    writes: async () => {
      const { leader, cutOff } = consensus.status();
      return leader !== undefined && !cutOff && (await hasRoom(blobs));
    },
  };
  const metrics = createMetrics(metricSource(consensus, blobs, exchange, upkeep));
  const app = createApp({
    registry,
    operations: { readiness, metrics },
    log: log.child({ part: "http" }),
    random,
    clock,
    limits: front.limits,
    takesUploads: () => !departure.closing,
  });
  await membershipKnown(base);
  front.use(app);
  stack.defer(() => front.listener.close(0));
  announceSelf({ ...base, signal: base.stopping });
  const leaving = { ...base, ...leavingTimes(config), departure, exchange, listener: front.listener, membership: consensus };
  return { adminSocket, leave: () => leave({ ...leaving, movers: [repair, rebalance] }) };
}

async function vitalsOf({ consensus, clock }: Foundation, blobs: DiskBlobStore, upkeep: Upkeep): Promise<Vitals> {
  const asked = blobs.reserve.state().catch(() => undefined); // a disk that does not even tell its size: the rest is worth telling
  const [disk, work] = await Promise.all([asked, upkeepVitals(upkeep, blobs, consensus.status().snapshots?.[0])]);
  const { appliedIndex, cutOff } = consensus.status();
  const usage = blobs.usage();
  return { appliedIndex, blobs: usage.blobs, bytes: usage.sizeBytes, cutOff, wallMs: clock.wallMs(), disk, upkeep: work };
}

function leavingTimes(config: Config): { delayMs: number; timeoutMs: number; handOverMs: number } {
  return {
    delayMs: config["shutdown.delay"],
    timeoutMs: config["shutdown.timeout"],
    handOverMs: config["raft.tick"] * DEFAULT_TIMING.electionTicks,
  };
}

async function openStorage(base: Foundation, audit: Audit): Promise<Storage> {
  const { config, consensus, clock, data, random, host, stack } = base;
  const log = base.log.child({ part: "blobs" });
  const worker = new HashPool();
  stack.defer(() => worker.close());
  const blobs = await openDiskStore({
    ...{ root: data, worker, clock, log, random },
    onQuarantined: (target, detail) => audit.note({ action: "copy.quarantined", target, detail }),
  });
  let repair: Upkeep["repair"] | undefined;
  const exchange = await createLibp2pExchange({
    host,
    blobs,
    startHash: () => worker.sharedHash(),
    clock,
    random,
    log: base.log.child({ part: "exchange" }),
    zone: config["node.zone"],
    placeOf: (peer) => consensus.catalog.members().find((member) => member.peerId === peer),
    members: () => consensus.catalog.members().map(({ peerId }) => peerId),
    isUnrecorded: (digest) => {
      const record = consensus.catalog.blob(digest);
      return record?.state === "live" && !record.copies.includes(consensus.self);
    },
    limits: { reachMs: 1_000 }, // the registry itself awaits an owner for 10 s
    onLocalCorrupt: (digest) => repair?.reportBad(digest),
  });
  stack.defer(() => exchange.close());
  const upkeep = startUpkeep(base, blobs, exchange, audit);
  repair = upkeep.repair;
  const hear = (): void => {
    upkeep.repair.peerConnected();
    upkeep.rebalance.peerConnected();
  };
  stack.defer(onMemberConnected(host, hear));
  return { blobs, exchange, ...upkeep };
}

/** @returns ends it */
function onMemberConnected(host: Host, run: () => void): () => void {
  const hear = ({ detail }: Libp2pEvents["peer:connect"]): void => {
    const peer = parsePeerId(detail.toString());
    if (peer !== undefined && host.isMember(peer)) run();
  };
  host.node.addEventListener("peer:connect", hear);
  return () => host.node.removeEventListener("peer:connect", hear);
}

/** The Raft configuration follows the members; who is out loses its connections as soon as that has applied here (G7). */
function watchMembership(
  { config, consensus, host, clock, stack, random, keys, state, data, ...base }: Foundation,
  recovery: Recovery,
): void {
  const log = base.log.child({ part: "members" });
  const publicKey = publicKeyOf(keys);
  const removal = watchRemoval({
    consensus,
    ask: (addresses, signal) => askStanding(host, addresses, { clusterId: state.clusterId, publicKey }, random, signal),
    follow: (peer, clusterId) => recovery.follow(peer, clusterId),
    fail: (error) => consensus.fail(error),
    failForGood: async (error) => {
      await markSuperseded(data, error);
      consensus.fail(error);
    },
    clock,
    log,
  });
  stack.defer(async () => {
    removal.stop();
    await removal.idle();
  });
  stack.defer(
    keepMembers({
      consensus,
      membership: consensus,
      votersMax: config["cluster.voters"],
      replaceAfterMs: config["cluster.replaceAfter"],
      clock,
      log,
    }),
  );
  stack.defer(watchSkew({ consensus, ask: ({ peerId }) => askVitals(host, peerId, clock, log), clock, log }));
  stack.defer(keepVersion({ consensus, membership: consensus, clock, log }));
  stack.defer(
    keepPresence({
      consensus,
      membership: consensus,
      ask: (witness, member) => askReach(host, witness.peerId, member.peerId, clock, log),
      downAfterMs: config["cluster.downAfter"],
      clock,
      log,
    }),
  );
  stack.defer(
    consensus.onApplied(({ command, outcome }) => {
      const isOut = command.type === "member.remove" || command.type === "member.replace";
      if (outcome.refused === undefined && isOut) host.membershipChanged();
    }),
  );
  stack.defer(consensus.onInstalled(() => host.membershipChanged()));
}

async function openAdminDoor(
  base: Foundation,
  shown: Pick<AdminOptions, "recovery" | "collector" | "verification" | "vitals">,
): Promise<string> {
  const { consensus, host, keys, clock, random, front, data, stack } = base;
  const log = base.log.child({ part: "admin" });
  const admin = createAdmin({ consensus, membership: consensus, host, ...shown, publicKey: publicKeyOf(keys), clock, random, log });
  const place = placeAdminSocket(data);
  stack.defer(() => place.forget());
  const handler = createAdminApp(admin, { log, random, clock, limits: front.limits, tally: undefined, accessLog: "writes" });
  const listener = await listenHttp(handler, { limits: front.limits, log, random, socketPath: place.path });
  stack.defer(() => listener.close(0));
  return place.path;
}

/** A disk that does not tell is found out by the write. */
async function hasRoom({ reserve }: DiskBlobStore): Promise<boolean> {
  return reserve.state().then(
    ({ low }) => low === "no",
    () => true,
  );
}

function isInCluster({ catalog, self }: Driver): boolean {
  return catalog.cluster() !== undefined && catalog.member(self) !== undefined;
}

/** A newcomer has nothing to serve until the leader has sent it the catalog. */
function membershipKnown({ consensus, stopping }: Foundation): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (isInCluster(consensus)) end(resolve);
    };
    const abort = (): void => end(() => reject(stopping.reason));
    const end = (then: () => void): void => {
      for (const stop of stops) stop();
      stopping.removeEventListener("abort", abort);
      then();
    };
    const stops = [consensus.onApplied(look), consensus.onInstalled(look)];
    stopping.addEventListener("abort", abort, { once: true });
    look();
  });
}
