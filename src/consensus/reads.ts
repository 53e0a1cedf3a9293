import type { Clock } from "../core/clock.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { ReadState } from "../raft/types.ts";
import type { Freshness } from "./consensus.ts";
import { leaderlessError, stoppingError } from "./refusals.ts";
import type { Timing } from "./timing.ts";

export interface ReadsOptions {
  readonly self: RaftId;
  readonly clock: Clock;
  readonly random: Random;
  readonly timing: Timing;
  /** Where this node alone decides and leads: the index that a read has to wait for; else undefined. */
  readonly soleIndex: () => number | undefined;
  readonly appliedIndex: () => number;
  /** @returns false where no leader is known */
  readonly ask: (context: Uint8Array) => boolean;
  readonly cutOff: () => boolean;
  /** Whether the leader that was asked is there: a round that a dead leader does not answer is for the election to mend. */
  readonly leaderHeard: () => boolean;
  /** Three rounds in a row were not answered, or one was. */
  readonly unanswered: (unanswered: boolean) => void;
}

interface Waiter {
  readonly resolve: (freshness: Freshness) => void;
  readonly reject: (error: unknown) => void;
  readonly deadlineAt: number;
  readonly cleanUp: () => void;
  settled: boolean;
}

interface Round {
  readonly key: string;
  readonly waiters: Waiter[];
  readonly startedAt: number;
}

const FAILURES_MAX = 3;
const FRESH: Promise<Freshness> = Promise.resolve("fresh");
const CUT_OFF: Promise<Freshness> = Promise.resolve("cutOff");

/** Barriers by ReadIndex (dissertation, 6.4): one round at a time for all that wait, what comes meanwhile shares the next. */
export class Reads {
  readonly #options: ReadsOptions;
  /** An answer to a round of an earlier start of this node is none. */
  readonly #boot: Uint8Array;
  #next: Waiter[] = [];
  #round: Round | undefined;
  /** Those whose index is known and not applied yet, in order of the index. */
  #confirmed: { readonly index: number; readonly waiters: readonly Waiter[] }[] = [];
  #counter = 0;
  #failures = 0;
  #silent = false;
  #probeAt = 0;

  constructor(options: ReadsOptions) {
    this.#options = options;
    this.#boot = options.random.bytes(8);
  }

  get waiting(): number {
    return this.#next.length + (this.#round?.waiters.length ?? 0) + this.#confirmed.length;
  }

  barrier(signal?: AbortSignal): Promise<Freshness> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#options.cutOff()) return CUT_OFF;
    const sole = this.#options.soleIndex();
    if (sole !== undefined && this.#options.appliedIndex() >= sole) return FRESH;
    return new Promise<Freshness>((resolve, reject) => {
      const abort = (): void => this.#settle(waiter, () => reject(signal?.reason));
      const waiter: Waiter = {
        resolve,
        reject,
        deadlineAt: this.#now() + this.#options.timing.deadlineMs,
        cleanUp: () => signal?.removeEventListener("abort", abort),
        settled: false,
      };
      signal?.addEventListener("abort", abort, { once: true });
      if (sole !== undefined) this.#confirm(sole, [waiter]);
      else {
        this.#next.push(waiter);
        this.pump();
      }
    });
  }

  /** Starts a round where some wait and none runs. */
  pump(): void {
    if (this.#round !== undefined || this.#next.length === 0) return;
    const sole = this.#options.soleIndex();
    const waiters = this.#next.filter(({ settled }) => !settled);
    this.#next = [];
    if (sole !== undefined) this.#confirm(sole, waiters);
    else if (!this.#start(waiters)) this.#next = waiters;
  }

  answered(states: readonly ReadState[]): void {
    for (const { index, context } of states) {
      const round = this.#round;
      // An answer to a round that was given up is still an answer, but its waiters have moved on.
      if (round === undefined || keyOf(context) !== round.key) continue;
      this.#round = undefined;
      this.#failures = 0;
      this.#setSilent(false);
      this.#confirm(index, round.waiters);
    }
    this.pump();
  }

  applied(index: number): void {
    let count = 0;
    for (const { index: needed, waiters } of this.#confirmed) {
      if (needed > index) break;
      count += 1;
      for (const waiter of waiters) this.#settle(waiter, () => waiter.resolve("fresh"));
    }
    if (count > 0) this.#confirmed.splice(0, count);
  }

  /** A round that was asked of the old leader may never be answered: it is asked again, and counts for no failure. */
  leaderChanged(): void {
    this.#failures = 0;
    this.#restart();
  }

  tick(): void {
    const now = this.#now();
    const expire = (waiter: Waiter): void => {
      if (!waiter.settled && now >= waiter.deadlineAt) this.#settle(waiter, () => waiter.reject(leaderlessError()));
    };
    for (const waiter of this.#next) expire(waiter);
    for (const waiter of this.#round?.waiters ?? []) expire(waiter);
    for (const { waiters } of this.#confirmed) for (const waiter of waiters) expire(waiter);
    if (this.#round !== undefined && now - this.#round.startedAt >= this.#options.timing.readRoundMs) {
      this.#failures = this.#options.leaderHeard() ? this.#failures + 1 : 0;
      if (this.#failures >= FAILURES_MAX) this.#setSilent(true);
      this.#restart();
    }
    // Cut off by silence alone: a round without waiters finds out when it ends.
    if (this.#silent && this.#round === undefined && now >= this.#probeAt) {
      this.#probeAt = now + this.#options.timing.readRoundMs;
      this.#start([]);
    }
    this.pump();
  }

  cutOff(): void {
    const waiters = [...this.#next, ...(this.#round?.waiters ?? []), ...this.#confirmed.flatMap((each) => each.waiters)];
    this.#next = [];
    this.#round = undefined;
    this.#confirmed = [];
    for (const waiter of waiters) this.#settle(waiter, () => waiter.resolve("cutOff"));
  }

  stop(): void {
    const error = stoppingError();
    const waiters = [...this.#next, ...(this.#round?.waiters ?? []), ...this.#confirmed.flatMap((each) => each.waiters)];
    for (const waiter of waiters) this.#settle(waiter, () => waiter.reject(error));
  }

  #setSilent(silent: boolean): void {
    if (silent === this.#silent) return;
    this.#silent = silent;
    this.#options.unanswered(silent);
  }

  #restart(): void {
    const round = this.#round;
    this.#round = undefined;
    if (round !== undefined) this.#next = [...round.waiters, ...this.#next];
    this.pump();
  }

  #start(waiters: Waiter[]): boolean {
    this.#counter += 1;
    const context = Buffer.alloc(24, this.#boot);
    context.writeBigUInt64BE(BigInt(this.#options.self), 8);
    context.writeBigUInt64BE(BigInt(this.#counter), 16);
    const round = { key: keyOf(context), waiters, startedAt: this.#now() };
    this.#round = round;
    if (this.#options.ask(context)) return true;
    if (this.#round === round) this.#round = undefined;
    return false;
  }

  #confirm(index: number, waiters: readonly Waiter[]): void {
    if (waiters.length === 0) return;
    if (this.#options.appliedIndex() >= index) {
      for (const waiter of waiters) this.#settle(waiter, () => waiter.resolve("fresh"));
      return;
    }
    this.#confirmed.push({ index, waiters });
    this.#confirmed.sort((a, b) => a.index - b.index);
  }

  #settle(waiter: Waiter, answer: () => void): void {
    if (waiter.settled) return;
    waiter.settled = true;
    waiter.cleanUp();
    answer();
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}

function keyOf(context: Uint8Array): string {
  return Buffer.from(context.buffer, context.byteOffset, context.byteLength).toString("latin1");
}
