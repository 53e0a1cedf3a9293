import type { Digest } from "../core/digest.ts";
import type { RaftId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { CatalogTime } from "../metadata/records.ts";

/** Names the pins of one attempt to commit, on every node that takes part. */
export interface Commit {
  readonly commitId: string;
  readonly deadline: CatalogTime;
}

export interface SpreadBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly root: PieceHash;
}

/** Durable copies of a blob that is about to be committed. Exactly one of `committed` and `abandon` is called. */
export interface Gathered {
  /** This node first; at least `need` of G1. */
  readonly copies: readonly RaftId[];
  /** The commit stands: targets that acknowledge from now on are added to the record. */
  committed(): void;
  /** The commit does not stand: nobody is added. */
  abandon(): void;
}

/** What the use cases ask of the spreading of copies; `upkeep/` has it. */
export interface Spreader {
  newCommit(sizeBytes: number): Commit;
  /**
   * Spreads a blob that is pinned here until `need` members hold it, this one included; goes on with the other targets afterwards.
   * @throws OciError UNAVAILABLE where too few can be reached within the deadline
   */
  gather(blob: SpreadBlob, commit: Commit, signal: AbortSignal): Promise<Gathered>;
  /**
   * Spreads a record that is short of `need` at once, with `copy.add`.
   * @throws OciError UNAVAILABLE where that cannot be done within the deadline
   */
  spreadNow(digest: Digest, signal: AbortSignal): Promise<void>;
  /** This node's copy is gone or was quarantined: its place in the record is given up, and the blob healed from the others. */
  reportBad(digest: Digest): void;
}
