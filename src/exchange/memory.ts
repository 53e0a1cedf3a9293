import { algorithmOf, type Digest, digestOf } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { PeerId } from "../core/peer.ts";
import { hashPiece, PIECE_SIZE_BYTES, type PieceHash, pieceCount, pieceRoot } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";
import type { Exchange, LocalBlobs, PeerFacts, UploadAnswer, UploadCall, Wanted } from "./exchange.ts";

type CallHandler = Parameters<Exchange["onCall"]>[0];

/** Several nodes in one process, spoken to without a wire. */
export interface MemoryHub {
  connect(self: PeerId, blobs: LocalBlobs): Exchange;
  /** The node is there no more for the others, until `heal`. */
  cut(peer: PeerId): void;
  heal(peer: PeerId): void;
}

export function createMemoryHub(): MemoryHub {
  const nodes = new Map<PeerId, MemoryExchange>();
  const cut = new Set<PeerId>();
  const reach = (from: PeerId, to: PeerId): MemoryExchange | undefined => (cut.has(from) || cut.has(to) ? undefined : nodes.get(to));
  return {
    connect(self, blobs) {
      const node = new MemoryExchange(self, blobs, reach, () => [...nodes.keys()]);
      nodes.set(self, node);
      return node;
    },
    cut: (peer) => void cut.add(peer),
    heal: (peer) => void cut.delete(peer),
  };
}

class MemoryExchange implements Exchange {
  readonly self: PeerId;
  readonly blobs: LocalBlobs;
  handler: CallHandler | undefined;
  readonly #reach: (from: PeerId, to: PeerId) => MemoryExchange | undefined;
  readonly #known: () => readonly PeerId[];

  constructor(
    self: PeerId,
    blobs: LocalBlobs,
    reach: (from: PeerId, to: PeerId) => MemoryExchange | undefined,
    known: () => readonly PeerId[],
  ) {
    this.self = self;
    this.blobs = blobs;
    this.#reach = reach;
    this.#known = known;
  }

  async *fetch(wanted: Wanted, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const whole = range.start === 0 && range.end === wanted.sizeBytes;
    const cache = whole ? await this.blobs.cacheWriter(wanted) : undefined;
    let finished = false;
    try {
      const last = Math.max(1, Math.ceil(range.end / PIECE_SIZE_BYTES));
      for (let piece = Math.floor(range.start / PIECE_SIZE_BYTES); piece < last; piece += 1) {
        const bytes = await this.#piece(wanted, piece, signal);
        await cache?.write(piece, bytes);
        const offset = piece * PIECE_SIZE_BYTES;
        yield bytes.subarray(Math.max(0, range.start - offset), Math.min(bytes.byteLength, range.end - offset));
      }
      finished = true;
    } finally {
      await (finished ? cache?.finish() : cache?.abandon());
    }
  }

  /** One piece, from the first holder whose copy proves good. */
  async #piece(wanted: Wanted, piece: number, signal: AbortSignal): Promise<Uint8Array> {
    for (const holder of wanted.holders) {
      signal.throwIfAborted();
      const peer = holder === this.self ? undefined : this.#reach(this.self, holder);
      const start = piece * PIECE_SIZE_BYTES;
      const bytes = await peer
        ?.read(wanted.digest, { start, end: Math.min(wanted.sizeBytes, start + PIECE_SIZE_BYTES) }, signal)
        .catch((error: unknown) => {
          signal.throwIfAborted();
          if (error instanceof OciError) return undefined;
          throw error;
        });
      if (bytes !== undefined && isGood(wanted, piece, bytes, await peer?.blobs.pieces(wanted.digest))) return bytes;
    }
    throw new OciError("UNAVAILABLE", "no holder of the blob can give its bytes", { digest: wanted.digest });
  }

  async read(digest: Digest, range: ByteRange, signal: AbortSignal): Promise<Uint8Array> {
    const bytes = Buffer.alloc(range.end - range.start);
    let filled = 0;
    for await (const chunk of this.blobs.open(digest, range, signal)) {
      bytes.set(chunk, filled);
      filled += chunk.byteLength;
    }
    return bytes.subarray(0, filled);
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
        const kept = await peer?.keep(
          wanted,
          commitId,
          () => this.blobs.open(wanted.digest, { start: 0, end: wanted.sizeBytes }, signal),
          signal,
        );
        if (kept !== true) return undefined;
        onAcknowledged(target);
        return target;
      }),
    );
    return acknowledged.filter((peer) => peer !== undefined);
  }

  async keep(wanted: Wanted, commitId: string, open: () => AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<boolean> {
    try {
      const facts = (await this.blobs.pin(wanted.digest, commitId)) ?? (await this.blobs.receive(wanted, commitId, open(), signal));
      return wanted.root === undefined || facts.root === wanted.root;
    } catch (error) {
      if (error instanceof OciError) return false;
      throw error;
    }
  }

  async call(owner: PeerId, request: UploadCall, body: AsyncIterable<Uint8Array> | undefined, signal: AbortSignal): Promise<UploadAnswer> {
    const handler = owner === this.self ? this.handler : this.#reach(this.self, owner)?.handler;
    if (handler === undefined) throw new OciError("UNAVAILABLE", "the owner of the upload cannot be reached", { owner });
    return handler(this.self, request, body ?? noBytes(), signal);
  }

  onCall(handler: CallHandler): void {
    this.handler = handler;
  }

  peers(): readonly PeerFacts[] {
    return this.#known()
      .filter((peer) => peer !== this.self)
      .map((peer) => ({ peer, connected: this.#reach(this.self, peer) !== undefined, rttMs: 0, sentBytes: 0, receivedBytes: 0 }));
  }
}

async function* noBytes(): AsyncIterable<Uint8Array> {}

function isGood(wanted: Wanted, piece: number, bytes: Uint8Array, list: readonly PieceHash[] | undefined): boolean {
  const size = Math.min(PIECE_SIZE_BYTES, wanted.sizeBytes - piece * PIECE_SIZE_BYTES);
  if (bytes.byteLength !== size) return false;
  if (pieceCount(wanted.sizeBytes) === 1) return digestOf(bytes, algorithmOf(wanted.digest)) === wanted.digest;
  if (list === undefined || (wanted.root !== undefined && pieceRoot(list) !== wanted.root)) return false;
  return hashPiece(bytes) === list[piece];
}
