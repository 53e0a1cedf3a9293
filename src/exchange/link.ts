import type { Digest } from "../core/digest.ts";
import type { PeerId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { ByteRange } from "../core/range.ts";

/** How the swarm asks one peer for one piece. Links: the hub of `memory.ts`, and `libp2p/`. */
export interface PeerLink {
  readonly self: PeerId;
  /**
   * @param onProgress called with the number of bytes each time some come in
   * @returns bytes that nobody has verified yet, in a buffer that is the caller's: one that `request.memory` gave, where there is such
   * @throws OciError as the peer threw it (BLOB_UNKNOWN where it has no copy); UNAVAILABLE; AbortError
   */
  get(peer: PeerId, request: PieceRequest, onProgress: (sizeBytes: number) => void, signal: AbortSignal): Promise<PieceReply>;
  isConnected(peer: PeerId): boolean;
}

export interface PieceRequest {
  readonly digest: Digest;
  readonly range: ByteRange;
  /** Whether the piece list is wanted beside the bytes: one round trip for both. */
  readonly list: boolean;
  /** Where the bytes may go; a link that has them in memory of their own needs none. */
  readonly memory?: (sizeBytes: number) => Uint8Array;
}

export interface PieceReply {
  readonly sizeBytes: number;
  readonly pieces: readonly PieceHash[] | undefined;
  readonly bytes: Uint8Array;
  /** SHA-256 of `bytes`, by a link that hashes them as they come: little of it is left when the last of them is there. Never rejects. */
  readonly hash?: Promise<PieceHash>;
}
