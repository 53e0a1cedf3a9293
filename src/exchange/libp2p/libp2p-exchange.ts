import type { Clock } from "../../core/clock.ts";
import type { Digest } from "../../core/digest.ts";
import { isAbortError, OciError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import type { Random } from "../../core/random.ts";
import type { ByteRange } from "../../core/range.ts";
import { Announcer, type AnnouncerLimits } from "../announcer.ts";
import type { Exchange, LocalBlobs, PeerFacts, UploadAnswer, UploadCall, Wanted } from "../exchange.ts";
import type { StartHash } from "../hashing.ts";
import { type PeerPlace, PeerTable } from "../peer-table.ts";
import { Swarm, type SwarmLimits } from "../swarm.ts";
import { Transfers } from "../transfers.ts";
import { BlobClient } from "./blob-client.ts";
import { serveBlobs } from "./blob-server.ts";
import type { Host } from "./host.ts";
import { createKadRouting, type KadRouting } from "./kad-routing.ts";
import { watchPeers } from "./peer-watch.ts";
import { type CallHandler, callOwner, serveUploads } from "./upload-protocol.ts";

export interface Libp2pExchangeOptions {
  readonly host: Host;
  readonly blobs: LocalBlobs;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits?: Partial<SwarmLimits> & {
    /** How long `call` waits for an owner that cannot be dialled; 10 s. */
    readonly reachMs?: number;
    /** A target of `spread` that takes no byte and says nothing for so long is left out; 30 s. */
    readonly spreadStallMs?: number;
  };
  /** This node's zone, and what the committed membership says of the others: they rank the sources beside what is measured. */
  readonly zone?: string;
  readonly placeOf?: (peer: PeerId) => PeerPlace | undefined;
  /** All members by the committed membership; where cached copies are is asked of them and told to them. */
  readonly members: () => readonly PeerId[];
  /** Whether a copy of this blob here stands in no record, so that it is to be announced; where it is not given nothing is. */
  readonly isUnrecorded?: (digest: Digest) => boolean;
  readonly announcements?: Partial<AnnouncerLimits>;
  /** Pieces are hashed by it where it gives one, on the event loop otherwise. */
  readonly startHash?: StartHash;
  /** A peer gave wrong bytes: its copy is to be checked there. */
  readonly onBadCopy?: (peer: PeerId, digest: Digest) => void;
  /** This node's own copy proved bad, and was quarantined. */
  readonly onLocalCorrupt?: (digest: Digest) => void;
}

export interface Libp2pExchange extends Exchange {
  /**
   * For a node that stops: peers are given nothing more and nothing is taken from them, but for the uploads that live here, which go on. Resolves
   * when what was under way has ended, also what this node sends, or when `signal` aborts.
   */
  finish(signal: AbortSignal): Promise<void>;
  /** Ends the measuring and idle streams, and waits for cached copies that are being finished. The host is stopped by its owner. */
  close(): Promise<void>;
}

export async function createLibp2pExchange(options: Libp2pExchangeOptions): Promise<Libp2pExchange> {
  const exchange = new WiredExchange(options);
  const { table: peers, transfers } = exchange;
  await serveBlobs({ ...options, peers, transfers, onServed: (digest) => exchange.used(digest) });
  await serveUploads({ ...options, transfers, handler: () => exchange.handler });
  return exchange;
}

class WiredExchange implements Libp2pExchange {
  readonly self: PeerId;
  readonly table: PeerTable;
  readonly transfers = new Transfers();
  handler: CallHandler | undefined;
  readonly #options: Libp2pExchangeOptions;
  readonly #client: BlobClient;
  readonly #swarm: Swarm;
  readonly #routing: KadRouting;
  readonly #announcer: Announcer;
  readonly #endWatch: () => void;

  constructor(options: Libp2pExchangeOptions) {
    const { host, clock, random } = options;
    this.self = host.self;
    this.#options = options;
    this.table = new PeerTable(clock, random, options.zone, options.placeOf);
    this.#client = new BlobClient(host, clock, this.table, options.startHash ?? (() => undefined));
    this.#routing = createKadRouting(options);
    this.#announcer = new Announcer({
      ...options,
      routing: this.#routing,
      isUnrecorded: options.isUnrecorded ?? (() => false),
      limits: options.announcements ?? {},
    });
    this.#swarm = new Swarm({
      ...options,
      link: this.#client,
      peers: this.table,
      routing: this.#routing,
      onCached: (digest) => this.#announcer.used(digest),
    });
    this.#endWatch = watchPeers(host, clock, this.table);
  }

  fetch(wanted: Wanted, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#swarm.fetch(wanted, range, signal);
  }

  async spread(
    wanted: Wanted,
    commitId: string,
    targets: readonly PeerId[],
    onAcknowledged: (peer: PeerId) => void,
    signal: AbortSignal,
  ): Promise<readonly PeerId[]> {
    const others = [...new Set(targets)].filter((peer) => peer !== this.self);
    const kept = await Promise.all(
      others.map(async (peer) => {
        if (!(await this.transfers.run(() => this.#put(peer, wanted, commitId, signal)))) return undefined;
        onAcknowledged(peer);
        return peer;
      }),
    );
    signal.throwIfAborted();
    return kept.filter((peer) => peer !== undefined);
  }

  async #put(peer: PeerId, wanted: Wanted, commitId: string, signal: AbortSignal): Promise<boolean> {
    const { blobs, log, limits } = this.#options;
    try {
      return await this.#client.put(peer, wanted, commitId, { blobs, stallMs: limits?.spreadStallMs ?? 30_000 }, signal);
    } catch (error) {
      if (!signal.aborted) log.warn({ peer, digest: wanted.digest, error }, "a peer did not take its copy of a blob: it is left out");
      if (!(error instanceof OciError) && !isAbortError(error)) this.table.suspect(peer);
      return false;
    }
  }

  async call(owner: PeerId, request: UploadCall, body: AsyncIterable<Uint8Array> | undefined, signal: AbortSignal): Promise<UploadAnswer> {
    if (owner === this.self) {
      if (this.handler === undefined) throw new OciError("UNAVAILABLE", "this node is still starting");
      return this.handler(this.self, request, body ?? noBytes(), signal);
    }
    const { host, clock, limits } = this.#options;
    return callOwner({ host, clock, reachMs: limits?.reachMs ?? 10_000 }, owner, request, body, signal);
  }

  onCall(handler: CallHandler): void {
    this.handler = handler;
  }

  used(digest: Digest): void {
    this.#announcer.used(digest);
  }

  peers(): readonly PeerFacts[] {
    const { host } = this.#options;
    this.table.keep((peer) => host.isMember(peer));
    const connected = host.node.getPeers().map((peer) => peer.toString() as PeerId);
    return this.table.facts(connected.filter((peer) => host.isMember(peer)));
  }

  finish(signal: AbortSignal): Promise<void> {
    return this.transfers.end(signal);
  }

  async close(): Promise<void> {
    this.#endWatch();
    this.#client.close();
    await this.#announcer.stop();
    await this.#routing.stop();
    await this.#swarm.settled();
  }
}

async function* noBytes(): AsyncIterable<Uint8Array> {}
