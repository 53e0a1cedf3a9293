/** What a transport has turned away since its start. */
export type TransportCounters = {
  /** Streams of peers that the committed membership does not list. */
  strangers: number;
  /** Streams that were meant for another cluster or another node. */
  misdirected: number;
  /** Streams of a start of a node that is not its newest. */
  outdated: number;
  /** Streams that ended with a frame that is too long, cut off, or none that is known. */
  malformed: number;
  /** Messages that found a full queue or no connection: Raft sends again. */
  dropped: number;
};

export function freshCounters(): TransportCounters {
  return { strangers: 0, misdirected: 0, outdated: 0, malformed: 0, dropped: 0 };
}
