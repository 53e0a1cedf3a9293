import type { Connection, Libp2p, PrivateKey, Stream, StreamHandler } from "@libp2p/interface";
import type { KadDHTComponents } from "@libp2p/kad-dht";
import { noise } from "@libp2p/noise";
import { peerIdFromString } from "@libp2p/peer-id";
import { type Ping, type PingComponents, ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";
import type { Clock } from "../../core/clock.ts";
import { OciError, systemCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { announced, hostOf, peerOf, toMultiaddr, withPeer } from "./addresses.ts";
import { createDoorkeeper, type Doorkeeper, type StrangerLimits } from "./doorkeeper.ts";
import { createMuxer } from "./muxer.ts";
import { nativeTls } from "./native-tls.ts";

export interface HostOptions {
  readonly privateKey: PrivateKey;
  /** Multiaddrs or `HOST:PORT`; a wildcard is never announced. */
  readonly listen: readonly string[];
  /** What the others are told to dial, where the operator says so (`--advertise`). */
  readonly announce?: readonly string[];
  /** Whether the committed membership lists the peer (G7). Asked at each connection and each stream. */
  readonly isMember: (peer: PeerId) => boolean;
  /** Where a member listens: multiaddrs of the committed membership. */
  readonly addressesOf: (peer: PeerId) => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly strangers?: Partial<StrangerLimits>;
}

/** What a protocol's handler is given. It must end or abort the stream on every path. */
export type HostHandler = (stream: Stream, from: PeerId, remote: { readonly host: string }) => Promise<void>;

/** This node among the others: one libp2p node, through which only members speak (G7). */
export interface Host {
  readonly self: PeerId;
  readonly node: Libp2p<{ ping: Ping }>;
  /** The parts of the node, for the DHT that stands on them (`kad-routing.ts`). */
  readonly components: KadDHTComponents;
  /** What others may dial: concrete multiaddrs without `/p2p`. */
  addresses(): readonly string[];
  /** Where a member listens: multiaddrs of the committed membership; none for who is no member. */
  addressesOf(peer: PeerId): readonly string[];
  isMember(peer: PeerId): boolean;
  /** Resets the stream of a peer that is no member before a byte of it is read; for handlers that are registered with `node.handle`. */
  memberHandler(handler: StreamHandler): StreamHandler;
  handle(
    protocol: string,
    handler: HostHandler,
    options?: { readonly openToStrangers?: boolean; readonly streamsMax?: number },
  ): Promise<void>;
  /**
   * A stream to a member, over the connection that is there or a new one.
   * @throws OciError UNAVAILABLE where the peer is no member, has no address or cannot be reached; AbortError
   */
  dial(peer: PeerId, protocol: string, signal: AbortSignal): Promise<Stream>;
  /** A stream to whoever answers there: for `join` alone. */
  dialStranger(addresses: readonly string[], protocol: string, signal: AbortSignal): Promise<{ stream: Stream; peer: PeerId }>;
  connection(peer: PeerId): Connection | undefined;
  /** To be called after the committed membership has changed: connections of those who are out end at once. */
  membershipChanged(): void;
  stop(): Promise<void>;
}

const STREAMS_MAX = 256;

/** @throws Error where an address cannot be listened on, saying which */
export async function startHost(options: HostOptions): Promise<Host> {
  const doorkeeper = createDoorkeeper(options);
  let components: KadDHTComponents | undefined;
  const node = await createLibp2p({
    privateKey: options.privateKey,
    start: false,
    nodeInfo: { name: "roadstead", version: "1", userAgent: "roadstead" },
    addresses: { listen: options.listen.map(toMultiaddr) },
    transports: [tcp({ inboundSocketInactivityTimeout: 120_000, outboundSocketInactivityTimeout: 120_000 })],
    connectionEncrypters: [nativeTls(options.log), noise()],
    streamMuxers: [createMuxer()],
    connectionGater: doorkeeper.gater,
    connectionManager: {
      maxConnections: 300,
      inboundConnectionThreshold: 50, // a second and address: several nodes may share one
      maxIncomingPendingConnections: 64,
      dialTimeout: 8_000,
      addressDialTimeout: 3_000,
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false }, // the exchange pings by its own clock, and a busy event loop kills no transfer
    services: {
      ping: (parts: KadDHTComponents) => {
        components = parts; // only services are given them
        return memberPing(options.isMember)(parts);
      },
    }, // no identify: it would tell strangers of this node (G7)
  });
  node.addEventListener("connection:open", (event) => doorkeeper.opened(event.detail));
  node.addEventListener("connection:close", (event) => doorkeeper.closed(event.detail));
  try {
    await node.start();
  } catch (error) {
    throw listenError(options.listen, error);
  }
  if (components === undefined) throw new Error("libp2p has made no service: its version is not the one that this program was written for");
  return new Libp2pHost(node, components, options, doorkeeper);
}

class Libp2pHost implements Host {
  readonly self: PeerId;
  readonly node: Host["node"];
  readonly components: KadDHTComponents;
  readonly #options: HostOptions;
  readonly #doorkeeper: Doorkeeper;

  constructor(node: Host["node"], components: KadDHTComponents, options: HostOptions, doorkeeper: Doorkeeper) {
    this.self = node.peerId.toString() as PeerId;
    this.node = node;
    this.components = components;
    this.#options = options;
    this.#doorkeeper = doorkeeper;
  }

  addresses(): readonly string[] {
    return announced(
      this.node.getMultiaddrs().map((address) => address.toString()),
      this.#options.announce ?? [],
    );
  }

  addressesOf(peer: PeerId): readonly string[] {
    return this.isMember(peer) ? this.#options.addressesOf(peer) : [];
  }

  isMember(peer: PeerId): boolean {
    return this.#options.isMember(peer);
  }

  memberHandler(handler: StreamHandler): StreamHandler {
    return guarded(handler, this.#options.isMember);
  }

  async handle(protocol: string, handler: HostHandler, options: { openToStrangers?: boolean; streamsMax?: number } = {}): Promise<void> {
    const run: StreamHandler = async (stream, connection) => {
      const from = connection.remotePeer.toString() as PeerId;
      try {
        await handler(stream, from, { host: hostOf(connection.remoteAddr.toString()) });
      } catch (error) {
        stream.abort(error instanceof Error ? error : new Error(String(error)));
        this.#options.log.debug({ protocol, peer: from, error }, "a stream ended early");
      }
    };
    const streams = options.streamsMax ?? STREAMS_MAX;
    await this.node.handle(protocol, options.openToStrangers === true ? run : this.memberHandler(run), {
      maxInboundStreams: streams,
      maxOutboundStreams: streams,
    });
  }

  async dial(peer: PeerId, protocol: string, signal: AbortSignal): Promise<Stream> {
    if (!this.isMember(peer)) throw new OciError("UNAVAILABLE", "the peer is no member of the cluster", { peer });
    const known = this.connection(peer);
    try {
      if (known !== undefined) return await this.#open(known, protocol, signal);
    } catch (error) {
      // the connection may have died unnoticed: one more try over a new one
      signal.throwIfAborted();
      if (known?.status === "open") throw unreachable(peer, error);
    }
    const addresses = this.#options.addressesOf(peer);
    if (addresses.length === 0) throw new OciError("UNAVAILABLE", "no address of the peer is known", { peer });
    try {
      const connection = await this.node.dial(
        addresses.map((address) => multiaddr(withPeer(address, peer))),
        { signal },
      );
      return await this.#open(connection, protocol, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw unreachable(peer, error);
    }
  }

  async dialStranger(addresses: readonly string[], protocol: string, signal: AbortSignal): Promise<{ stream: Stream; peer: PeerId }> {
    const expected = addresses.map(peerOf).filter((peer) => peer !== undefined);
    const end = this.#doorkeeper.expect(expected);
    try {
      const connection = await this.node.dial(
        addresses.map((address) => multiaddr(toMultiaddr(address))),
        { signal },
      );
      return { stream: await this.#open(connection, protocol, signal), peer: connection.remotePeer.toString() as PeerId };
    } finally {
      end();
    }
  }

  connection(peer: PeerId): Connection | undefined {
    return this.node.getConnections(peerIdFromString(peer)).find((connection) => connection.status === "open");
  }

  membershipChanged(): void {
    for (const connection of this.node.getConnections()) this.#doorkeeper.recheck(connection);
  }

  async stop(): Promise<void> {
    this.#doorkeeper.stop();
    await this.node.stop();
  }

  #open(connection: Connection, protocol: string, signal: AbortSignal): Promise<Stream> {
    return connection.newStream(protocol, { signal, maxOutboundStreams: STREAMS_MAX });
  }
}

function guarded(handler: StreamHandler, isMember: HostOptions["isMember"]): StreamHandler {
  return (stream, connection) => {
    if (isMember(connection.remotePeer.toString() as PeerId)) return handler(stream, connection);
    stream.abort(new OciError("DENIED", "only members of the cluster may speak this protocol"));
  };
}

/** The library's ping, but its handler answers members alone, as all others do. */
function memberPing(isMember: HostOptions["isMember"]): (components: PingComponents) => Ping {
  return ({ registrar, connectionManager }) => {
    const own: PingComponents["registrar"] = Object.create(registrar);
    own.handle = (protocol, handler, handlerOptions) => registrar.handle(protocol, guarded(handler, isMember), handlerOptions);
    return ping()({ registrar: own, connectionManager });
  };
}

function unreachable(peer: PeerId, cause: unknown): OciError {
  return new OciError("UNAVAILABLE", "the peer cannot be reached", { peer }, cause);
}

function listenError(listen: readonly string[], cause: unknown): Error {
  const reason = systemCode(cause) ?? (cause instanceof Error ? cause.message : String(cause));
  return new Error(
    `this node cannot listen for its peers on ${listen.join(", ")} (${reason}): free the port or give another with --p2p HOST:PORT`,
    { cause },
  );
}
