import { type JointVoters, jointCommitted } from "./quorum.ts";
import type { Index, NodeId, ReadIndexMessage } from "./types.ts";

interface PendingRead {
  readonly position: number;
  /** The commit index when the read came in. */
  readonly index: Index;
  readonly request: ReadIndexMessage;
}

/**
 * Reads that wait for a quorum to confirm the leader (dissertation, 6.4). Each has a position of its own that grows, so that a
 * reply to an earlier heartbeat confirms nothing that came in after it, whatever context the callers chose.
 */
export class ReadQueue {
  readonly #self: NodeId;
  #pending: PendingRead[] = [];
  #acked = new Map<NodeId, number>();
  #position = 0;

  constructor(self: NodeId) {
    this.#self = self;
  }

  /** Position of the newest read that waits; 0 where none does. */
  get newest(): number {
    return this.#pending.at(-1)?.position ?? 0;
  }

  add(request: ReadIndexMessage, index: Index): number {
    this.#position += 1;
    this.#pending.push({ position: this.#position, index, request });
    return this.#position;
  }

  /** Notes that `from` knew this leader after all reads up to `position` had come in. @returns what a quorum confirms now */
  confirm(from: NodeId, position: number, voters: JointVoters): readonly PendingRead[] {
    if (position > (this.#acked.get(from) ?? 0)) this.#acked.set(from, position);
    return this.recount(voters);
  }

  /** @returns what a quorum of `voters` has confirmed */
  recount(voters: JointVoters): readonly PendingRead[] {
    if (this.#pending.length === 0) return [];
    const confirmed = jointCommitted(voters, (id) => (id === this.#self ? this.#position : (this.#acked.get(id) ?? 0)));
    let count = 0;
    while (count < this.#pending.length && (this.#pending[count] as PendingRead).position <= confirmed) count += 1;
    return this.#pending.splice(0, count);
  }

  /** As a node does on every change of its term or role: replies of the old term are ignored by then. */
  clear(): void {
    this.#pending = [];
    this.#acked.clear();
  }
}
