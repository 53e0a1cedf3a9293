import { generateKeyPair } from "@libp2p/crypto/keys";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { type Clock, systemClock } from "../../core/clock.ts";
import type { Digest } from "../../core/digest.ts";
import { silentLog } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { systemRandom } from "../../core/random.ts";
import type { LocalBlobs } from "../exchange.ts";
import type { StartHash } from "../hashing.ts";
import type { StrangerLimits } from "./doorkeeper.ts";
import { type Host, startHost } from "./host.ts";
import { createLibp2pExchange, type Libp2pExchange, type Libp2pExchangeOptions } from "./libp2p-exchange.ts";

/** Nodes on loopback that know each other: what the tests of this folder stand on. */
export class Loopback {
  readonly members = new Set<PeerId>();
  readonly addresses = new Map<PeerId, readonly string[]>();
  readonly hosts: Host[] = [];
  readonly exchanges: Libp2pExchange[] = [];

  async host(options: { member?: boolean; listen?: string[]; clock?: Clock; strangers?: Partial<StrangerLimits> } = {}): Promise<Host> {
    const privateKey = await generateKeyPair("Ed25519");
    const peer = peerIdFromPrivateKey(privateKey).toString() as PeerId;
    if (options.member !== false) this.members.add(peer);
    const host = await startHost({
      privateKey,
      listen: options.listen ?? ["127.0.0.1:0"],
      isMember: (other) => this.members.has(other),
      addressesOf: (other) => this.addresses.get(other) ?? [],
      clock: options.clock ?? systemClock,
      log: silentLog,
      ...(options.strangers === undefined ? {} : { strangers: options.strangers }),
    });
    this.addresses.set(peer, host.addresses());
    this.hosts.push(host);
    return host;
  }

  async exchange(
    blobs: LocalBlobs,
    onBadCopy: (peer: PeerId, digest: Digest) => void = () => {},
    limits: Libp2pExchangeOptions["limits"] = {},
    startHash: StartHash = () => undefined,
    more: Partial<Libp2pExchangeOptions> = {},
  ): Promise<Libp2pExchange> {
    const exchange = await createLibp2pExchange({
      host: await this.host(),
      members: () => [...this.members],
      blobs,
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      limits: { reachMs: 0, hedgeMs: 60_000, stallMs: 60_000, ...limits }, // hedges are tested by a manual clock
      onBadCopy,
      startHash,
      ...more,
    });
    this.exchanges.push(exchange);
    return exchange;
  }

  /** Streams that are open now, on every connection of every node. */
  openStreams(protocol: string): number {
    return this.hosts
      .flatMap((host) => host.node.getConnections())
      .flatMap((connection) => connection.streams)
      .filter((stream) => stream.protocol === protocol).length;
  }

  async close(): Promise<void> {
    await Promise.all(this.exchanges.map((exchange) => exchange.close()));
    await Promise.all(this.hosts.map((host) => host.stop()));
  }
}
