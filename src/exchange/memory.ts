import { type Clock, systemClock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import { type Random, seededRandom } from "../core/random.ts";
import type { ByteRange } from "../core/range.ts";
import { untilAborted } from "./abort.ts";
import type { Exchange, LocalBlobs, PeerFacts, UploadAnswer, UploadCall, Wanted } from "./exchange.ts";
import type { PeerLink, PieceReply, PieceRequest } from "./link.ts";
import { PeerTable } from "./peer-table.ts";
import { Swarm, type SwarmLimits } from "./swarm.ts";

type CallHandler = Parameters<Exchange["onCall"]>[0];

/** Several nodes in one process, spoken to without a wire. */
export interface MemoryHub {
  connect(self: PeerId, blobs: LocalBlobs): Exchange;
  /** The node is there no more for the others, until `heal`. */
  cut(peer: PeerId): void;
  heal(peer: PeerId): void;
}

export interface MemoryHubOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly limits?: Partial<SwarmLimits>;
  readonly onBadCopy?: (peer: PeerId, digest: Digest) => void;
}

export function createMemoryHub(options: MemoryHubOptions = {}): MemoryHub {
  const nodes = new Map<PeerId, MemoryExchange>();
  const cut = new Set<PeerId>();
  const cached: CachedCopies = new Map();
  const reach: Reach = (from, to) => (cut.has(from) || cut.has(to) ? undefined : nodes.get(to));
  return {
    connect(self, blobs) {
      const node = new MemoryExchange(self, blobs, reach, () => [...nodes.keys()], cached, options);
      nodes.set(self, node);
      return node;
    },
    cut: (peer) => void cut.add(peer),
    heal: (peer) => void cut.delete(peer),
  };
}

/** Who has cached what, known to all at once. */
type CachedCopies = Map<Digest, Set<PeerId>>;
type Reach = (from: PeerId, to: PeerId) => MemoryExchange | undefined;

class MemoryExchange implements Exchange, PeerLink {
  readonly self: PeerId;
  readonly #blobs: LocalBlobs;
  readonly #reach: Reach;
  readonly #known: () => readonly PeerId[];
  readonly #peers: PeerTable;
  readonly #swarm: Swarm;
  #handler: CallHandler | undefined;

  constructor(
    self: PeerId,
    blobs: LocalBlobs,
    reach: Reach,
    known: () => readonly PeerId[],
    cached: CachedCopies,
    options: MemoryHubOptions,
  ) {
    const clock = options.clock ?? systemClock;
    this.self = self;
    this.#blobs = blobs;
    this.#reach = reach;
    this.#known = known;
    this.#peers = new PeerTable(clock, options.random ?? seededRandom(1));
    this.#swarm = new Swarm({
      ...options,
      link: this,
      blobs,
      peers: this.#peers,
      clock,
      log: silentLog,
      routing: {
        async *find(digest) {
          for (const peer of cached.get(digest) ?? []) if (peer !== self) yield peer;
        },
      },
      onCached: (digest) => void cached.set(digest, (cached.get(digest) ?? new Set()).add(self)),
    });
  }

  fetch(wanted: Wanted, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#swarm.fetch(wanted, range, signal);
  }

  async get(peer: PeerId, request: PieceRequest, onProgress: (sizeBytes: number) => void, signal: AbortSignal): Promise<PieceReply> {
    const other = this.#reach(this.self, peer);
    if (other === undefined) throw new OciError("UNAVAILABLE", "the peer cannot be reached", { peer });
    const reply = await untilAborted(other.#serve(request, signal), signal);
    onProgress(reply.bytes.byteLength);
    this.#peers.received(peer, reply.bytes.byteLength);
    other.#peers.sent(this.self, reply.bytes.byteLength);
    return reply;
  }

  isConnected(peer: PeerId): boolean {
    return this.#reach(this.self, peer) !== undefined;
  }

  async #serve(request: PieceRequest, signal: AbortSignal): Promise<PieceReply> {
    const known = await this.#blobs.stat(request.digest);
    if (known === undefined) throw new OciError("BLOB_UNKNOWN", "this node holds no copy of the blob", { digest: request.digest });
    const pieces: readonly PieceHash[] | undefined = request.list ? await this.#blobs.pieces(request.digest) : undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#blobs.open(request.digest, request.range, signal)) chunks.push(Uint8Array.from(chunk));
    return { sizeBytes: known.sizeBytes, pieces, bytes: Buffer.concat(chunks) };
  }

  async spread(
    wanted: Wanted,
    commitId: string,
    targets: readonly PeerId[],
    onAcknowledged: (peer: PeerId) => void,
    signal: AbortSignal,
  ): Promise<readonly PeerId[]> {
    const acknowledged = await Promise.all(
      targets.map(async (target) => {
        const peer = target === this.self ? undefined : this.#reach(this.self, target);
        const body = (): AsyncIterable<Uint8Array> => this.#blobs.open(wanted.digest, { start: 0, end: wanted.sizeBytes }, signal);
        if (peer === undefined || !(await peer.#keep(wanted, commitId, body, signal))) return undefined;
        onAcknowledged(target);
        return target;
      }),
    );
    signal.throwIfAborted();
    return acknowledged.filter((peer) => peer !== undefined);
  }

  async #keep(wanted: Wanted, commitId: string, open: () => AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<boolean> {
    const { digest, sizeBytes, root } = wanted;
    try {
      const facts =
        (await this.#blobs.pin(digest, commitId)) ?? (await this.#blobs.receive({ digest, sizeBytes, root }, commitId, open(), signal));
      return root === undefined || facts.root === root;
    } catch {
      return false; // as over a wire: a target that fails is left out
    }
  }

  async call(owner: PeerId, request: UploadCall, body: AsyncIterable<Uint8Array> | undefined, signal: AbortSignal): Promise<UploadAnswer> {
    const node = owner === this.self ? this : this.#reach(this.self, owner);
    const handler = node === undefined ? undefined : node.#handler;
    if (handler === undefined) throw new OciError("UNAVAILABLE", "the owner of the upload cannot be reached", { owner });
    return untilAborted(handler(this.self, request, body ?? noBytes(), signal), signal);
  }

  onCall(handler: CallHandler): void {
    this.#handler = handler;
  }

  used(): void {
    // what is cached was told when it came
  }

  peers(): readonly PeerFacts[] {
    const others = this.#known().filter((peer) => peer !== this.self);
    return this.#peers.facts(others.filter((peer) => this.isConnected(peer))).filter((facts) => others.includes(facts.peer));
  }
}

async function* noBytes(): AsyncIterable<Uint8Array> {}
