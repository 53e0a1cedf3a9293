import type { Consensus } from "../consensus/consensus.ts";
import { type Clock, pause } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Member } from "../metadata/records.ts";
import { place } from "../placement/rendezvous.ts";
import type { Commit } from "./commit-id.ts";
import { targetCopies } from "./standing.ts";

export interface SpreadContext {
  readonly consensus: Consensus;
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly log: Log;
  /** `durability.copies`, where the cluster's record names none. */
  readonly copies: number;
  /** How long members that fail are tried again while too few have acknowledged. */
  readonly deadlineMs: number;
  /** Aborts when the node stops. */
  readonly stopping: AbortSignal;
}

export interface Spreading {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly root: PieceHash | undefined;
  readonly commit: Commit;
  /** Members that hold it already, durably and pinned or in the record. */
  readonly held: readonly RaftId[];
  /** Holders that drain, or are down for long: they count for nothing but `need`, and get nothing. */
  readonly leaving?: readonly RaftId[];
}

const RETRY_MS = 250;
/** A larger blob goes to the members that `need` waits for, and to the others once those have it: all at once they share what this node can send. */
const AT_ONCE_BYTES = 4 * 1024 * 1024;
/** A target that has not acknowledged for so long may hang: another one is sent to beside it. */
const HEDGE_MS = 5_000;

/** Members in the order in which they are to get a copy: as placed; those that are down next, those that drain last. */
export function candidates(catalog: Catalog, digest: Digest, besides: ReadonlySet<RaftId>): readonly Member[] {
  const members = catalog.members().filter((member) => !besides.has(member.raftId));
  const ranks = [
    members.filter((member) => !member.down && !member.draining),
    members.filter((member) => member.down && !member.draining),
    members.filter((member) => member.draining),
  ];
  return ranks.flatMap((rank) => {
    const byId = new Map(rank.map((member) => [member.raftId, member]));
    return place(digest, rank, rank.length).flatMap((id) => byId.get(id) ?? []);
  });
}

/** One spreading of a blob that is pinned here: to `need` first, to the target afterwards. */
export class Spread {
  readonly #context: SpreadContext;
  readonly #blob: Spreading;
  readonly #copies: Set<RaftId>;
  readonly #work = new AbortController();
  readonly #enough = Promise.withResolvers<boolean>();
  #need = 0;
  #onLate: ((copy: RaftId) => void) | undefined;
  #late: RaftId[] = [];
  #counted = false;
  readonly done: Promise<void>;

  constructor(context: SpreadContext, blob: Spreading) {
    this.#context = context;
    this.#blob = blob;
    this.#copies = new Set(blob.held);
    this.#need = context.consensus.catalog.need();
    this.done = this.#run()
      .catch((error: unknown) => {
        if (this.#work.signal.aborted || context.stopping.aborted) return;
        context.log.error({ digest: blob.digest, error }, "a blob could not be spread");
      })
      .finally(() => this.#enough.resolve(this.#durable >= this.#need));
  }

  /** How many copies the target still lacks; what is left when `done` is for the repair. */
  get lacking(): number {
    return Math.max(0, targetCopies(this.#context.consensus.catalog, this.#context.copies) - this.#copies.size);
  }

  /** Targets that may be sent to at the moment. */
  get #atOnce(): number {
    const missing = this.#need - this.#durable;
    return missing > 0 && this.#blob.sizeBytes > AT_ONCE_BYTES ? missing : this.lacking;
  }

  /** What `need` counts: a member that drains, or is down, still holds what it holds. */
  get #durable(): number {
    return this.#copies.size + (this.#blob.leaving?.length ?? 0);
  }

  get copies(): readonly RaftId[] {
    return [...this.#copies];
  }

  /**
   * Members that hold it, once they are `need`.
   * @throws OciError UNAVAILABLE where too few acknowledged within the deadline
   */
  async reached(signal: AbortSignal): Promise<readonly RaftId[]> {
    const aborted = Promise.withResolvers<never>();
    const stop = (): void => {
      this.#work.abort(signal.reason);
      aborted.reject(signal.reason);
    };
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const enough = await Promise.race([this.#enough.promise, aborted.promise]);
      if (!enough) throw this.#shortage();
      return this.copies;
    } finally {
      this.#counted = true;
      signal.removeEventListener("abort", stop);
    }
  }

  /** Each member that acknowledged, or will, after `reached` has answered. */
  onLate(add: (copy: RaftId) => void): void {
    this.#onLate = add;
    for (const copy of this.#late.splice(0)) add(copy);
  }

  abandon(): void {
    this.#work.abort(new DOMException("the commit does not stand", "AbortError"));
  }

  #shortage(): OciError {
    const { copies, need } = { copies: this.#durable, need: this.#need };
    return new OciError(
      "UNAVAILABLE",
      `${need} members are to hold the blob before it is acknowledged, and ${copies} can be reached: the upload is kept, send the request again`,
      { digest: this.#blob.digest, need, copies },
    );
  }

  async #run(): Promise<void> {
    const { clock, consensus, deadlineMs, stopping } = this.#context;
    const signal = AbortSignal.any([this.#work.signal, stopping]);
    const untilMs = clock.monotonicMs() + deadlineMs;
    for (;;) {
      this.#need = consensus.catalog.need();
      await this.#round(signal);
      this.#settleNeed();
      if (this.#durable >= this.#need || clock.monotonicMs() + RETRY_MS > untilMs) return;
      if (consensus.status().cutOff) return; // nothing could be committed: the client hears of it at once
      await pause(clock, RETRY_MS, signal);
    }
  }

  /** As many targets at once as copies are lacking, of a large blob those for `need` first; where one fails, or is slow while `need` waits for it, the next in the order is sent to as well. */
  async #round(signal: AbortSignal): Promise<void> {
    const { clock, consensus } = this.#context;
    this.#settleNeed();
    const tried = new Set([...this.#copies, ...(this.#blob.leaving ?? [])]);
    const running = new Set<Promise<void>>();
    const launch = (): boolean => {
      const [target] = candidates(consensus.catalog, this.#blob.digest, tried);
      if (target === undefined) return false;
      tried.add(target.raftId);
      const work = this.#send(target, signal).finally(() => running.delete(work));
      running.add(work);
      return true;
    };
    const endHedge = clock.every(HEDGE_MS, () => {
      if (this.#durable < this.#need) launch();
    });
    try {
      for (;;) {
        signal.throwIfAborted();
        while (running.size < this.#atOnce && launch());
        if (running.size === 0) return;
        await Promise.race(running);
      }
    } finally {
      endHedge();
    }
  }

  /** Never throws: a target that fails is one that did not acknowledge. */
  async #send(target: Member, signal: AbortSignal): Promise<void> {
    const { consensus, exchange, log } = this.#context;
    const { digest, sizeBytes, root, commit } = this.#blob;
    const { leaving = [] } = this.#blob;
    const holders = consensus.catalog.members().filter(({ raftId }) => this.#copies.has(raftId) || leaving.includes(raftId));
    const wanted = { digest, sizeBytes, root, holders: holders.map((member) => member.peerId) };
    try {
      await exchange.spread(wanted, commit.commitId, [target.peerId], () => this.#acknowledge(target.raftId), signal);
    } catch (error) {
      if (!signal.aborted) log.error({ digest, target: target.raftId, error }, "a blob could not be sent");
    }
  }

  #acknowledge(copy: RaftId): void {
    if (this.#copies.has(copy)) return;
    this.#copies.add(copy);
    if (!this.#counted) this.#settleNeed();
    else if (this.#onLate === undefined) this.#late.push(copy);
    else this.#onLate(copy);
  }

  #settleNeed(): void {
    if (this.#durable >= this.#need) this.#enough.resolve(true);
  }
}
