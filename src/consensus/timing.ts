/** Numbers of the driver's policy. The defaults stand in `DEFAULT_TIMING`; tests pass smaller ones. */
export interface Timing {
  /** One logical tick in ms. */
  readonly tickMs: number;
  /** An election begins after this many to twice as many ticks without a leader. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Without a majority of voters for so long a node is cut off: an election timeout, and no less where ticks are short, since processes pause. */
  readonly contactMs: number;
  /** How long proposals and reads wait through elections. */
  readonly deadlineMs: number;
  /** A proposal without an answer is sent again after this, then after twice this, and so on. */
  readonly resendMs: number;
  /** A read round without an answer has failed after this; three failed ones in a row mean cut off. */
  readonly readRoundMs: number;
  /** An idle leader moves catalog time this often. */
  readonly clockTickMs: number;
  /** Proposals of this node that wait for their outcome at once; below the session's window of 1,024. */
  readonly proposalsMax: number;
  readonly proposalBytesMax: number;
  /** Entries of one append, and of one batch of the applier. */
  readonly appendBytes: number;
  /** Entries kept in the log for slow followers, and their bytes: whichever is less. */
  readonly keepEntries: number;
  readonly keepBytes: number;
  /** Members compare their seals at the indexes that this divides; the same on every one. */
  readonly sealEntries: number;
}

export const DEFAULT_TIMING: Timing = {
  tickMs: 100,
  electionTicks: 10,
  heartbeatTicks: 1,
  contactMs: 1_000,
  deadlineMs: 10_000,
  resendMs: 1_000,
  readRoundMs: 500,
  clockTickMs: 5_000,
  proposalsMax: 512,
  proposalBytesMax: 32 * 2 ** 20,
  appendBytes: 2 ** 20,
  keepEntries: 10_000,
  keepBytes: 64 * 2 ** 20,
  sealEntries: 1_024,
};
