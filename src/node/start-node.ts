import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { formatHostPort } from "../config/kinds.ts";
import type { Config } from "../config/settings.ts";
import type { Driver } from "../consensus/driver.ts";
import { levelStorage } from "../consensus/level/level-storage.ts";
import { Libp2pTransport } from "../consensus/libp2p/transport.ts";
import { openConsensus } from "../consensus/open-consensus.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import { type Random, systemRandom } from "../core/random.ts";
import { type Host, startHost } from "../exchange/libp2p/host.ts";
import { type Identity, loadIdentity } from "../exchange/libp2p/identity.ts";
import type { MemberFacts } from "../metadata/commands.ts";
import { foundCluster, initCluster, publicKeyOf } from "./bootstrap.ts";
import { type ClusterKeys, type ClusterState, readClusterKeys, readClusterState, writeClusterState } from "./cluster-state.ts";
import { makeDataFolder } from "./data-folder.ts";
import { lockDataFolder } from "./data-lock.ts";
import { openFront, refuseOpenDoor } from "./front.ts";
import { checkJoinAddress, joinCluster, readToken } from "./join.ts";
import { lookupHost } from "./lookup.ts";
import { NodeError } from "./node-error.ts";
import { rememberPeers } from "./peer-memory.ts";
import { carryOutRecovery } from "./recover-start.ts";
import type { ReplaceWish } from "./replace.ts";
import { Roster } from "./roster.ts";
import { nodeName, selfFacts } from "./self-facts.ts";
import { type Services, startServices } from "./services.ts";
import { refuseSuperseded } from "./superseded.ts";

/** How a node with an empty data folder enters a cluster. */
export interface Entry {
  readonly bootstrap: boolean;
  readonly join: string | undefined;
  readonly token: string | undefined;
  /** With `join`: the member whose place it takes. */
  readonly replace?: ReplaceWish | undefined;
}

export interface NodeOptions {
  readonly config: Config;
  readonly entry: Entry;
  readonly log: Log;
  /** Called once with what the node cannot go on with: the process is to end. */
  readonly fatal: (error: Error) => void;
  /** Called once where the node is to be stopped and started again on its folder: it has something to do while nothing of it is open. */
  readonly restart?: () => void;
  /** Gives up a start that is under way; a node that runs is ended by `stop`. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface RunningNode {
  readonly name: string;
  readonly peerId: PeerId;
  /** `host:port` as bound. */
  readonly http: string;
  readonly p2p: readonly string[];
  readonly adminSocket: string;
  /** In order: clients go elsewhere, leadership is handed over, what runs ends within `shutdown.timeout`; within seconds then, all is flushed. */
  stop(): Promise<void>;
}

/** What the steps of a start share. */
interface Ground {
  readonly options: NodeOptions;
  readonly config: Config;
  readonly data: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Undone in the reverse order. */
  readonly stack: AsyncDisposableStack;
  /** Aborts when the node stops. */
  readonly stopping: AbortController;
}

/**
 * Starts a node; resolves when it serves reads.
 * @throws NodeError where it cannot start, with all undone
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, clock = systemClock, random = systemRandom, log } = options;
  const stack = new AsyncDisposableStack();
  const stopping = new AbortController();
  const ground: Ground = { options, config, data: resolve(config.data), clock, random, log, stack, stopping };
  const stop = async (): Promise<void> => {
    stopping.abort(new DOMException("the node stops", "AbortError"));
    await stack.disposeAsync();
  };
  const giveUp = (): void => stopping.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", giveUp, { once: true });
  try {
    options.signal?.throwIfAborted();
    const { leave, ...node } = await build(ground);
    return { ...node, stop: () => leave().then(stop) };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", giveUp);
  }
}

async function build(ground: Ground): Promise<Omit<RunningNode, "stop"> & Pick<Services, "leave">> {
  const { config, data, stack, random, log, clock, stopping } = ground;
  refuseOpenDoor(config);
  const { known, recovered } = await carryOutRecovery(ground, await openFolder(ground));
  const identity = await readIdentity(data);
  const front = await openFront(config, log, random, clock);
  stack.defer(() => front.listener.close(0));
  const roster = new Roster();
  if (known !== undefined) roster.setSeeds(known.peers);
  const host = await openHost(ground, identity, roster);
  const facts = selfFacts(config, identity.peerId, host.addresses(), front.listener.address);
  const state = known ?? (await enter(ground, host, facts));
  roster.setSeeds(state.peers);
  const keys = await readClusterKeys(data);
  const consensus = await openDriver(ground, host, roster, state);
  if (state.founding) {
    await initCluster(consensus, state, keys, facts, config);
    await writeClusterState(data, { ...state, founding: false, hasLog: true });
  }
  refuseForeignIdentity(consensus, identity, data);
  refuseForeignKey(consensus, keys, state, data);
  stack.defer(rememberPeers(consensus, data, { ...state, founding: false, hasLog: true }, log));
  const services = await startServices({
    config,
    data,
    clock,
    random,
    log,
    stack,
    stopping: stopping.signal,
    front,
    host,
    consensus,
    state,
    keys,
    facts,
    recovered,
    restart: ground.options.restart ?? (() => undefined),
  });
  return { name: facts.name, peerId: identity.peerId, http: front.listener.address, p2p: host.addresses(), ...services };
}

/** With it this node would sign for newcomers what no member takes. @throws NodeError where the folder holds another cluster's key */
function refuseForeignKey({ catalog }: Driver, keys: ClusterKeys, { formerCluster }: ClusterState, data: string): void {
  const { clusterId, publicKey: known } = catalog.cluster() ?? {};
  if (known === undefined || clusterId === formerCluster || Buffer.compare(known, publicKeyOf(keys)) === 0) return;
  throw new NodeError(
    `cluster.key in ${data} is of another cluster: parts of two data folders were mixed. Copy cluster.key and cluster.secret from another member of this one`,
  );
}

/** @throws NodeError where the folder holds another node's key */
function refuseForeignIdentity({ catalog, self }: Driver, identity: Identity, data: string): void {
  const member = catalog.member(self);
  if (member === undefined || member.peerId === identity.peerId) return;
  throw new NodeError(
    `identity.key in ${data} is of the peer ${identity.peerId}, but this folder is of node ${self}, the peer ${member.peerId}: parts of two data folders were mixed. Put back its own identity.key, or replace the node: remove it, and join with an empty folder`,
  );
}

/** Makes the folder where it is not there, takes its lock, and looks whether the node is in a cluster already. */
async function openFolder({ data, stack, options }: Ground): Promise<ClusterState | undefined> {
  const { entry } = options;
  const isNew = !existsSync(join(data, "node.json"));
  if (isNew && !entry.bootstrap && entry.join === undefined) {
    throw new NodeError(
      `the data folder ${data} is in no cluster yet: make one with --bootstrap, or enter one with --join ADDRESS --token TOKEN ("roadstead token create" on a member). If this node was in one, its disk is not mounted`,
    );
  }
  if (isNew && !entry.bootstrap && entry.token === undefined) {
    throw new NodeError(
      `--join ${entry.join} needs --token TOKEN for an empty data folder: make one with "roadstead token create" on a member`,
    );
  }
  if (isNew && !entry.bootstrap) {
    // before anything is opened or written
    readToken(entry.token ?? "");
    checkJoinAddress(entry.join ?? "");
  }
  await makeDataFolder(data);
  const lock = await lockDataFolder(data);
  stack.defer(() => lock.release());
  await refuseSuperseded(data);
  return readClusterState(data);
}

async function readIdentity(data: string): Promise<Identity> {
  try {
    return await loadIdentity(data);
  } catch (error) {
    throw new NodeError(error instanceof Error ? error.message : String(error));
  }
}

async function openHost({ config, clock, log, stack }: Ground, identity: Identity, roster: Roster): Promise<Host> {
  try {
    const host = await startHost({
      privateKey: identity.privateKey,
      listen: [formatHostPort(config["p2p.listen"])],
      announce: config["p2p.advertise"],
      isMember: (peer) => roster.isMember(peer),
      addressesOf: (peer) => roster.addressesOf(peer),
      clock,
      log: log.child({ part: "host" }),
    });
    stack.defer(() => host.stop());
    return host;
  } catch (error) {
    throw peerListenFailure(error, formatHostPort(config["p2p.listen"]));
  }
}

/** libp2p tells the cause in the text of its error alone, below advice that speaks of its own settings. */
function peerListenFailure(error: unknown, at: string): NodeError {
  const reason = error instanceof Error ? error.message : String(error);
  const code = /\bE[A-Z]{4,}\b/.exec(reason)?.[0];
  switch (code) {
    case "EADDRINUSE":
      return new NodeError(`--p2p ${at}: another program listens there; stop it, or give another port`);
    case "EACCES":
      return new NodeError(`--p2p ${at}: not allowed (ports below 1024 need a privilege)`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new NodeError(`--p2p ${at}: this machine has no such address (${code}); what the others dial is --advertise`);
    default:
      return new NodeError(`--p2p ${at}: nothing can listen there (${code ?? reason.split("\n")[0]}); give an address of this machine`);
  }
}

function raftTransport({ clock, log }: Ground, host: Host, roster: Roster, state: ClusterState): Libp2pTransport {
  return new Libp2pTransport({
    host,
    clusterId: state.clusterId,
    self: state.raftId,
    peerOf: (raftId) => roster.peerIdOf(raftId),
    raftIdOf: (peer) => roster.raftIdOf(peer),
    clock,
    log: log.child({ part: "transport" }),
  });
}

function enter({ config, data, options, clock, random, log, stopping }: Ground, host: Host, facts: MemberFacts): Promise<ClusterState> {
  const { bootstrap, join: address = "", token = "", replace } = options.entry;
  if (bootstrap) return foundCluster(data, nodeName(config), random);
  return joinCluster({ data, address, token, lookup: lookupHost, facts, replace, host, clock, random, log }, stopping.signal);
}

async function openDriver(ground: Ground, host: Host, roster: Roster, state: ClusterState): Promise<Driver> {
  const { config, data, clock, random, log, stack, stopping, options } = ground;
  if (state.hasLog && !existsSync(join(data, "raft"))) {
    throw new NodeError(
      `the Raft log in ${data} is gone, so this node may have forgotten what it promised: replace it by a node with an empty folder`,
    );
  }
  const consensus = await openConsensus({
    storage: levelStorage(data, { reserve: true, patience: { clock, log: log.child({ part: "storage" }), signal: stopping.signal } }),
    clusterId: state.clusterId,
    formerCluster: state.formerCluster,
    raftId: state.raftId,
    peers: () => state.peers.map(({ raftId }) => raftId).filter((raftId) => raftId !== state.raftId),
    bootstrap: state.founding ? { voters: [state.raftId] } : undefined,
    transport: raftTransport(ground, host, roster, state),
    clock,
    random,
    log: log.child({ part: "consensus" }),
    fatal: options.fatal,
    signal: stopping.signal,
    timing: { tickMs: config["raft.tick"], deadlineMs: config["http.deadline"], keepEntries: config["raft.logKeep"] },
  });
  stack.defer(() => consensus.close());
  roster.bind(consensus.catalog);
  if (!state.hasLog) await writeClusterState(data, { ...state, hasLog: true });
  return consensus;
}
