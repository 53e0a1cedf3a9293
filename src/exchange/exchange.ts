import type { Digest } from "../core/digest.ts";
import type { PeerId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";

/** Bytes between nodes. Adapters: `memory.ts` (several nodes in one process), `libp2p/`. Only members are spoken to (G7). */
export interface Exchange {
  readonly self: PeerId;
  /**
   * Bytes `[start, end)` of a blob that this node lacks, each piece verified before it is passed on, and written to the local cache in the same
   * pass when the range is the whole blob. Requests for the same whole blob share one fetch. Sources are ranked by round-trip time, rate, zone and load; one
   * that is slow or dead is hedged within 500 ms. Where the holders of the record are absent, fail or are slow, cached copies are looked for. A chunk stays valid until the second one after it is asked for.
   * @throws OciError UNAVAILABLE where no holder can give the bytes
   */
  fetch(wanted: Wanted, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * Sends a blob held here to `targets`, in parallel; each verifies, fsyncs and pins it under `commitId` before it acknowledges.
   * A target that cannot be reached is left out, never thrown.
   * @param onAcknowledged called for each as it comes in
   * @returns once every target has acknowledged or failed
   */
  spread(
    wanted: Wanted,
    commitId: string,
    targets: readonly PeerId[],
    onAcknowledged: (peer: PeerId) => void,
    signal: AbortSignal,
  ): Promise<readonly PeerId[]>;
  /**
   * One request to the node that owns an upload session, the body piped through with backpressure.
   * @throws OciError as the owner threw it; UNAVAILABLE where it cannot be reached
   */
  call(owner: PeerId, request: UploadCall, body: AsyncIterable<Uint8Array> | undefined, signal: AbortSignal): Promise<UploadAnswer>;
  /** This node's side of `call`. */
  onCall(handler: (from: PeerId, request: UploadCall, body: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<UploadAnswer>): void;
  /** A copy that is here was read for a client: where it is a cached one, it is worth telling the others of it. */
  used(digest: Digest): void;
  /** What this node has measured of its peers. */
  peers(): readonly PeerFacts[];
}

export interface Wanted {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly root: PieceHash | undefined;
  /** Members that the record lists. */
  readonly holders: readonly PeerId[];
}

/** Plain data for the wire; the registry gives it its meaning. */
export type UploadCall = Readonly<Record<string, string | number | undefined>>;
export type UploadAnswer = Readonly<Record<string, string | number | undefined>>;

export interface PeerFacts {
  readonly peer: PeerId;
  readonly connected: boolean;
  readonly rttMs: number | undefined;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** What the exchange needs of this node's store: `blobs/` fits it. */
export interface LocalBlobs {
  stat(digest: Digest): Promise<{ readonly sizeBytes: number } | undefined>;
  /** `range.memory` is asked for each chunk in turn; a buffer may be given again for the third chunk after. */
  open(
    digest: Digest,
    range: ByteRange & { readonly memory?: (sizeBytes: number) => Uint8Array },
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  pieces(digest: Digest): Promise<readonly PieceHash[] | undefined>;
  /** Digests of settled copies, sorted; strictly after `after`. */
  list(after: string, limit: number): Promise<readonly Digest[]>;
  receive(
    expected: { readonly digest: Digest; readonly sizeBytes: number; readonly root: PieceHash | undefined },
    commitId: string,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly sizeBytes: number; readonly root: PieceHash }>;
  pin(digest: Digest, commitId: string): Promise<{ readonly sizeBytes: number; readonly root: PieceHash } | undefined>;
  cacheWriter(expected: { readonly digest: Digest; readonly sizeBytes: number; readonly root: PieceHash | undefined }): Promise<
    | {
        write(piece: number, bytes: Uint8Array): Promise<void>;
        /** A piece that was written; undefined where it is not there. It is verified again before it is passed on. */
        read?(piece: number): Promise<Uint8Array | undefined>;
        finish(pieces?: readonly PieceHash[]): Promise<void>;
        abandon(): Promise<void>;
      }
    | undefined
  >;
  quarantine(digest: Digest, reason: string): Promise<void>;
}
