import { Inflights } from "./inflights.ts";
import { Progress } from "./progress.ts";
import { isVoter, type JointVoters, jointCommitted, jointVote, type VoteResult, voterIds } from "./quorum.ts";
import type { ConfState, Index, NodeId } from "./types.ts";

/** Ids ascend in every list. Immutable: a change makes a new one. */
export interface GroupConfig {
  readonly voters: JointVoters;
  readonly learners: readonly NodeId[];
  readonly learnersNext: readonly NodeId[];
  readonly autoLeave: boolean;
}

export type ProgressMap = ReadonlyMap<NodeId, Progress>;

interface Peer {
  readonly id: NodeId;
  readonly progress: Progress;
}

export const EMPTY_CONFIG: GroupConfig = { voters: { incoming: [], outgoing: [] }, learners: [], learnersNext: [], autoLeave: false };

export function confStateOf(config: GroupConfig): ConfState {
  return {
    voters: config.voters.incoming,
    votersOutgoing: config.voters.outgoing,
    learners: config.learners,
    learnersNext: config.learnersNext,
    autoLeave: config.autoLeave,
  };
}

/** The configuration in force, what is known of each peer, and the votes of an election. */
export class Tracker {
  readonly #inflightsMax: number;
  readonly #inflightBytesMax: number;
  #config: GroupConfig = EMPTY_CONFIG;
  #progress: Map<NodeId, Progress> = new Map();
  #peers: readonly Peer[] = [];
  #votes: Map<NodeId, boolean> = new Map();

  constructor(inflightsMax: number, inflightBytesMax: number) {
    this.#inflightsMax = inflightsMax;
    this.#inflightBytesMax = inflightBytesMax;
  }

  get config(): GroupConfig {
    return this.#config;
  }

  /** In order of ids. */
  get progress(): ProgressMap {
    return this.#progress;
  }

  /** The same, for loops on the hot path: an array is walked in a fraction of the time. */
  get peers(): readonly Peer[] {
    return this.#peers;
  }

  newProgress(match: Index, next: Index, isLearner: boolean): Progress {
    return new Progress(match, next, isLearner, new Inflights(this.#inflightsMax, this.#inflightBytesMax));
  }

  /** Peers are visited in order of ids, so that the same inputs give the same messages. */
  switchTo(config: GroupConfig, progress: ProgressMap): void {
    this.#config = config;
    this.#progress = new Map([...progress].sort(([a], [b]) => a - b));
    this.#listPeers();
  }

  /** As a node does on every change of its term or role. */
  resetProgress(self: NodeId, lastIndex: Index): void {
    this.#votes.clear();
    for (const [id, { isLearner }] of this.#progress) {
      this.#progress.set(id, this.newProgress(id === self ? lastIndex : 0, lastIndex + 1, isLearner));
    }
    this.#listPeers();
  }

  committed(): Index {
    return jointCommitted(this.#config.voters, this.#matchOf);
  }

  /** Whether a quorum of voters was heard from lately; the leader counts itself by its own mark. */
  quorumActive(): boolean {
    return jointVote(this.#config.voters, (id) => this.#progress.get(id)?.recentActive === true) === "won";
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** The first vote of a node counts. */
  recordVote(id: NodeId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  tallyVotes(): { readonly granted: number; readonly rejected: number; readonly result: VoteResult } {
    let granted = 0;
    let rejected = 0;
    for (const [id, progress] of this.#progress) {
      if (progress.isLearner) continue;
      const vote = this.#votes.get(id);
      if (vote === true) granted += 1;
      else if (vote === false) rejected += 1;
    }
    return { granted, rejected, result: jointVote(this.#config.voters, (id) => this.#votes.get(id)) };
  }

  isVoter(id: NodeId): boolean {
    return isVoter(this.#config.voters, id);
  }

  voterIds(): readonly NodeId[] {
    return voterIds(this.#config.voters);
  }

  /** Whether `self` alone decides. A removed leader is not: the sole voter is another (and may have moved on). */
  isSoleVoter(self: NodeId): boolean {
    const { incoming, outgoing } = this.#config.voters;
    return outgoing.length === 0 && incoming.length === 1 && incoming[0] === self;
  }

  #listPeers(): void {
    this.#peers = Array.from(this.#progress, ([id, progress]) => ({ id, progress }));
  }

  readonly #matchOf = (id: NodeId): Index => this.#progress.get(id)?.match ?? 0;
}
