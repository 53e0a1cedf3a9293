/** What a client may ask of the door, in bytes, ms and items. */
export interface HttpLimits {
  /** Largest manifest accepted: 413 beyond. */
  readonly manifestBytes: number;
  /** Longest request target: 414 beyond. */
  readonly targetBytes: number;
  /** Largest request head, target included: 431 beyond. */
  readonly headBytes: number;
  /** How long a client may take to send its head: 408 beyond. */
  readonly headMs: number;
  /** How long a body may stand still, either way. There is no limit on the whole. */
  readonly bodyIdleMs: number;
  /** How long an idle connection is kept. */
  readonly keepAliveMs: number;
  /** Requests that one connection may have sent ahead of their answers. */
  readonly pipelined: number;
  /** What is read of a body that nobody wanted, to save the connection, before it is cut. */
  readonly discardBytes: number;
  /** Items on a page of tags, repositories or referrers where the client names no other number, and at most. */
  readonly pageItems: number;
  /** Bytes of one referrers page (distribution-spec 1.1 lets clients stop at 4 MiB). */
  readonly referrersBytes: number;
  /** `OCI-Chunk-Min-Length`: smaller chunks are taken too. */
  readonly chunkMinBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_LIMITS: HttpLimits = {
  manifestBytes: 4 * MIB,
  targetBytes: 8 * KIB,
  headBytes: 32 * KIB,
  headMs: 20_000,
  bodyIdleMs: 60_000,
  keepAliveMs: 75_000,
  pipelined: 1_024,
  discardBytes: 8 * MIB,
  pageItems: 1_000,
  referrersBytes: 3 * MIB,
  chunkMinBytes: 64 * KIB,
};
