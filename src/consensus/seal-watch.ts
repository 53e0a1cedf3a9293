import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { ConfState } from "../raft/types.ts";
import { ConsensusError, type Fatal } from "./errors.ts";
import type { AppliedStore } from "./store.ts";
import type { Transport } from "./transport.ts";

export interface SealWatchOptions {
  readonly self: RaftId;
  readonly store: Pick<AppliedStore, "onSeal" | "installedIndex" | "condemn">;
  readonly transport: Pick<Transport, "send">;
  readonly log: Log;
  /** Seals are compared at the indexes that this divides. */
  readonly everyEntries: number;
  readonly conf: () => ConfState;
  /** This node is the odd one out: it must end. */
  readonly diverged: Fatal;
}

/** Marks kept of each member: who is further behind than these is compared again later. */
const MARKS_KEPT = 8;

/**
 * Compares this node's state with the others' at the same index, by the seals that they tell each other now and then (design.md, "Seals"). Whoever differs from
 * what a majority of the voters agree on ends; where none agree, as among two, there is only the alarm.
 */
export class SealWatch {
  readonly #options: SealWatchOptions;
  readonly #own = new Map<number, string>();
  readonly #others = new Map<RaftId, Map<number, string>>();
  /** Differences that were told of, by index and member. */
  readonly #told = new Set<string>();
  #ended = false;

  constructor(options: SealWatchOptions) {
    this.#options = options;
    options.store.onSeal((index, seal) => this.#applied(index, seal));
  }

  #applied(index: number, seal: Uint8Array): void {
    const { everyEntries, self, conf, transport } = this.#options;
    if (index % everyEntries !== 0) return;
    keep(this.#own, index, seal);
    const { voters, learners } = conf();
    // a verdict is the voters': learners have nothing to say to each other
    const peers = voters.includes(self) ? [...voters, ...learners] : voters;
    for (const peer of peers) if (peer !== self) transport.send(peer, [{ kind: "seal", index, seal }]);
    this.#compare(index);
  }

  heard(from: RaftId, index: number, seal: Uint8Array): void {
    if (index % this.#options.everyEntries !== 0) return;
    const marks = this.#others.get(from) ?? new Map<number, string>();
    this.#others.set(from, marks);
    keep(marks, index, seal);
    this.#compare(index);
  }

  #compare(index: number): void {
    const { conf, store, log } = this.#options;
    const own = this.#own.get(index);
    // below an installed snapshot it was the seal of a state that is gone
    if (own === undefined || index <= store.installedIndex) return;
    const { voters } = conf();
    const agreed = new Map<string, number>();
    for (const [peer, marks] of this.#others) {
      const seal = marks.get(index);
      if (seal === undefined || seal === own) continue;
      if (voters.includes(peer)) agreed.set(seal, (agreed.get(seal) ?? 0) + 1);
      if (!this.#isNews(`${index} ${peer}`)) continue;
      log.error({ index, member: peer }, "the state of a member differs from this one's at the same entry: one of the two is wrong");
    }
    if (Math.max(0, ...agreed.values()) > voters.length / 2) this.#end(divergedError(index));
  }

  /** The mark first: a service manager starts the process again at once, and it would serve until seals are compared the next time. */
  #end(error: ConsensusError): void {
    if (this.#ended) return;
    this.#ended = true;
    const { diverged, store, log } = this.#options;
    const marked = store.condemn?.(error.message);
    if (marked === undefined) diverged(error);
    else
      void marked
        .catch((reason: unknown) => log.error({ error: String(reason) }, "the catalog could not be marked as wrong"))
        .finally(() => diverged(error));
  }

  #isNews(difference: string): boolean {
    if (this.#told.has(difference)) return false;
    this.#told.add(difference);
    const oldest = this.#told.values().next();
    if (this.#told.size > MARKS_KEPT * MARKS_KEPT && oldest.done !== true) this.#told.delete(oldest.value);
    return true;
  }
}

function keep(marks: Map<number, string>, index: number, seal: Uint8Array): void {
  marks.set(index, Buffer.from(seal).toString("hex"));
  if (marks.size > MARKS_KEPT) marks.delete(Math.min(...marks.keys()));
}

function divergedError(index: number): ConsensusError {
  return new ConsensusError(
    "diverged",
    `This node's catalog is not what a majority of the voters agree on, at entry ${index}: its disk has altered what it holds, or its program decides otherwise. It must not serve, so this node ends. At its next start it sets the catalog aside and fetches another member's. If that does not last, replace the node: remove it, and join with an empty folder.`,
    { index },
  );
}
