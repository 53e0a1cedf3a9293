import { createHash } from "node:crypto";
import type { Connection, Peer } from "@libp2p/interface";
import type { KadDHT, KadDHTComponents } from "@libp2p/kad-dht";
import { PING_PROTOCOL } from "@libp2p/ping";
import { multiaddr } from "@multiformats/multiaddr";
import type { Clock } from "../../core/clock.ts";
import type { Digest } from "../../core/digest.ts";
import type { Log } from "../../core/log.ts";
import { type PeerId, parsePeerId } from "../../core/peer.ts";
import { untilAborted } from "../abort.ts";
import type { ContentRouting } from "../content-routing.ts";
import type { Host } from "./host.ts";
import { ProviderRecords } from "./provider-records.ts";

export const KAD_PROTOCOL = "/roadstead/kad/1.0.0";

/** What was announced is forgotten after so long; it is told again twice in that time. */
const VALID_MS = 60 * 60_000;
/** The library is loaded after the node has started: nobody waits for it until a holder fails. */
const LOAD_AFTER_MS = 2_000;
/** A search goes through all members that are near, also those that hang. */
const SEARCH_MS = 5_000;
/** Members that keep a record, and that are asked for it: in a cluster of no more each knows all, and finds it without asking anybody. */
const REPLICAS = 20;
/** Members that could not be reached are tried again, where somebody searches, after so long. */
const DIAL_AGAIN_MS = 30_000;
const NEVER_MS = 2 ** 31 - 1;

type Cid = Parameters<KadDHT["provide"]>[0];
type Topology = Parameters<KadDHTComponents["registrar"]["register"]>[1];

export interface KadRouting extends ContentRouting {
  stop(): Promise<void>;
}

export interface KadRoutingOptions {
  readonly host: Host;
  /** All members, also those that this node is not connected to. */
  readonly members: () => readonly PeerId[];
  readonly clock: Clock;
  readonly log: Log;
  readonly loadAfterMs?: number;
}

interface Started {
  readonly dht: KadDHT;
  readonly cidOf: (digest: Digest) => Cid;
  /** Takes the members into the routing table that are connected, and connects to the others; resolves once one is connected, or none can be. */
  readonly meet: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/**
 * The DHT of the members, with a protocol of its own: it carries where the cached copies are and nothing else. Who is a member, where he listens and that he speaks the
 * protocol are known from the committed membership, so none of that is learnt from peers (G7).
 */
export function createKadRouting(options: KadRoutingOptions): KadRouting {
  return new LazyKadRouting(options);
}

class LazyKadRouting implements KadRouting {
  readonly #options: KadRoutingOptions;
  readonly #cancelLoad: () => void;
  #started: Promise<Started | undefined> | undefined;
  #stopped = false;

  constructor(options: KadRoutingOptions) {
    this.#options = options;
    this.#cancelLoad = options.clock.after(options.loadAfterMs ?? LOAD_AFTER_MS, () => void this.#start());
  }

  async *find(digest: Digest, signal: AbortSignal): AsyncIterable<PeerId> {
    const started = await untilAborted(this.#start(), signal);
    if (started === undefined) return;
    const { host, clock, log } = this.#options;
    await untilAborted(started.meet(), signal);
    const controller = new AbortController();
    const cancel = clock.after(SEARCH_MS, () => controller.abort(new DOMException("the search took too long", "TimeoutError")));
    const seen = new Set<PeerId>([host.self]);
    try {
      for await (const event of started.dht.findProviders(started.cidOf(digest), {
        signal: AbortSignal.any([signal, controller.signal]),
      })) {
        for (const { id } of event.name === "PROVIDER" ? event.providers : []) {
          const peer = parsePeerId(id.toString());
          if (peer === undefined || seen.has(peer) || !host.isMember(peer)) continue;
          seen.add(peer);
          yield peer;
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ digest, error }, "the search for cached copies ended early");
    } finally {
      cancel();
    }
  }

  async provide(digest: Digest, signal: AbortSignal): Promise<void> {
    const started = await untilAborted(this.#start(), signal);
    if (started === undefined) return;
    await untilAborted(started.meet(), signal);
    for await (const _ of started.dht.provide(started.cidOf(digest), { signal })); // each event is one step; it is done when they end
  }

  async withdraw(digest: Digest): Promise<void> {
    const started = await this.#started;
    await started?.dht.cancelReprovide(started.cidOf(digest));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelLoad();
    await (await this.#started)?.stop();
  }

  #start(): Promise<Started | undefined> {
    if (this.#stopped) return Promise.resolve(undefined);
    this.#cancelLoad();
    this.#started ??= startDht(this.#options).catch((error: unknown) => {
      this.#options.log.error({ error }, "content routing could not be started: cached copies of other nodes are not found");
      return undefined;
    });
    return this.#started;
  }
}

async function startDht({ host, clock, members }: KadRoutingOptions): Promise<Started> {
  const [{ kadDHT, passthroughMapper }, { CID }, { create }] = await Promise.all([
    import("@libp2p/kad-dht"),
    import("multiformats/cid"),
    import("multiformats/hashes/digest"),
  ]);
  const topology = new MemberTopology(host, clock, members);
  const dht = kadDHT({
    protocol: KAD_PROTOCOL,
    clientMode: false,
    kBucketSize: REPLICAS,
    allowQueryWithZeroPeers: true,
    peerInfoMapper: passthroughMapper,
    reprovide: { threshold: 0, interval: NEVER_MS }, // the announcer does that, within its budget
  })(memberComponents(host, topology, new ProviderRecords(clock, VALID_MS))) as KadDHT & { start(): Promise<void>; stop(): Promise<void> };
  await dht.start();
  const greet = (): void => topology.meetConnected();
  host.node.addEventListener("peer:connect", greet);
  void topology.meet();
  return {
    dht,
    cidOf: (digest) => CID.createV1(RAW, create(SHA2_256, createHash("sha256").update(digest).digest())), // the wire takes sha256 alone, a digest may be sha512
    meet: () => topology.meet(),
    stop: async () => {
      host.node.removeEventListener("peer:connect", greet);
      topology.stop();
      await dht.stop();
    },
  };
}

/** Codes of the multicodec table. */
const RAW = 0x55;
const SHA2_256 = 0x12;

/** Who speaks the protocol: every member. The library would learn that from identify, which this host does not speak. */
class MemberTopology {
  readonly #host: Host;
  readonly #clock: Clock;
  readonly #members: () => readonly PeerId[];
  readonly #met = new WeakSet<Connection>();
  readonly #stopping = new AbortController();
  #dialledMs = Number.NEGATIVE_INFINITY;
  topology: Topology | undefined;

  constructor(host: Host, clock: Clock, members: () => readonly PeerId[]) {
    this.#host = host;
    this.#clock = clock;
    this.#members = members;
  }

  async meet(): Promise<void> {
    this.meetConnected();
    const others = this.#members().filter((peer) => peer !== this.#host.self);
    const isAlone = !others.some((peer) => this.#host.connection(peer) !== undefined);
    const now = this.#clock.monotonicMs();
    if (now - this.#dialledMs < DIAL_AGAIN_MS) return;
    this.#dialledMs = now;
    const dials = others.filter((peer) => this.#host.connection(peer) === undefined).map((peer) => this.#dial(peer));
    if (isAlone)
      await Promise.any(dials).catch(() => {}); // nobody is there: then nothing is found
    else void Promise.allSettled(dials);
  }

  meetConnected(): void {
    for (const id of this.#host.node.getPeers()) {
      const peer = id.toString() as PeerId;
      const connection = this.#host.connection(peer);
      if (connection === undefined || this.#met.has(connection) || !this.#host.isMember(peer)) continue;
      this.#met.add(connection);
      this.topology?.onConnect?.(id, connection);
    }
  }

  stop(): void {
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
  }

  /** The connection is what is wanted: `meetConnected` hears of it. */
  async #dial(peer: PeerId): Promise<void> {
    const stream = await this.#host.dial(peer, PING_PROTOCOL, this.#stopping.signal);
    stream.abort(new DOMException("connected", "AbortError"));
  }
}

/** The library's parts, seen through the membership: it serves, dials and knows members alone (G7), at the addresses that are committed. */
function memberComponents(host: Host, members: MemberTopology, records: ProviderRecords): KadDHTComponents {
  const { components } = host;
  const registrar: KadDHTComponents["registrar"] = Object.create(components.registrar);
  registrar.handle = (protocol, handler, options) => components.registrar.handle(protocol, host.memberHandler(handler), options);
  registrar.register = async (_protocol, topology) => {
    members.topology = topology;
    return KAD_PROTOCOL;
  };
  registrar.unregister = () => {
    members.topology = undefined;
  };
  const connectionManager: KadDHTComponents["connectionManager"] = Object.create(components.connectionManager);
  connectionManager.openStream = (peer, protocol, options) =>
    host.dial(peer.toString() as PeerId, [protocol].flat()[0] ?? KAD_PROTOCOL, options?.signal ?? AbortSignal.timeout(SEARCH_MS));
  connectionManager.isDialable = async () => true; // a stranger is refused by the dial
  return {
    peerId: components.peerId,
    privateKey: components.privateKey,
    events: components.events,
    logger: components.logger,
    datastore: records as Partial<KadDHTComponents["datastore"]> as KadDHTComponents["datastore"], // all of it that the library uses
    addressManager: addressesOf(host),
    registrar,
    connectionManager,
    peerStore: memberStore(host),
    ping: host.node.services.ping,
  };
}

function addressesOf(host: Host): KadDHTComponents["addressManager"] {
  const own: KadDHTComponents["addressManager"] = Object.create(host.components.addressManager);
  own.getAddresses = () => host.addresses().map((address) => multiaddr(address));
  return own;
}

/** What the library asks its peer store for, out of the membership. One who is no member has no address, and is left out by that. */
function memberStore(host: Host): KadDHTComponents["peerStore"] {
  const get = async (id: Peer["id"]): Promise<Peer> => {
    const addresses = host.addressesOf(id.toString() as PeerId).map((address) => ({ multiaddr: multiaddr(address), isCertified: false }));
    return { id, addresses, protocols: [KAD_PROTOCOL], metadata: new Map(), tags: new Map() };
  };
  const store: Partial<KadDHTComponents["peerStore"]> = {
    get,
    getInfo: async (id) => ({ id, multiaddrs: (await get(id)).addresses.map((address) => address.multiaddr) }),
    all: async () => [],
    merge: get, // addresses that peers tell, and tags that would keep connections up: neither is taken
  };
  return store as KadDHTComponents["peerStore"];
}
