import type { Digest } from "../core/digest.ts";
import type { PeerId } from "../core/peer.ts";

/**
 * Where the cached copies are: they stand in no record, so that only who has one can tell. Adapters: the hub of `memory.ts`, and `libp2p/kad-routing.ts`.
 * What is found is a hint: the peer may have dropped its copy since, and its bytes are verified as any other's.
 */
export interface ContentRouting {
  /** Members that have announced a copy, this node left out, each once and as soon as it is known. Ends when no more can be found; never throws but AbortError. */
  find(digest: Digest, signal: AbortSignal): AsyncIterable<PeerId>;
  /** Tells the others that this node has a copy. It counts for the time that the adapter says, and is to be told again before. */
  provide(digest: Digest, signal: AbortSignal): Promise<void>;
  /** The copy is gone: it is announced no more, and what was announced ends with its time. */
  withdraw(digest: Digest): Promise<void>;
}
