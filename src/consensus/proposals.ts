import type { Clock } from "../core/clock.ts";
import type { OciError } from "../core/errors.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { AppliedCommand } from "../metadata/apply-entry.ts";
import { isWellFormed } from "../metadata/command-shape.ts";
import type { Command, Outcome } from "../metadata/commands.ts";
import { encodeEnvelope } from "../metadata/entry.ts";
import type { Start } from "../metadata/records.ts";
import { envelopeHash } from "./forwarded-proposal.ts";
import { cutOffError, refusedError, sessionError, stoppingError, unansweredError } from "./refusals.ts";
import { isSessionless } from "./sessionless.ts";
import type { Timing } from "./timing.ts";
import { Unanswered } from "./unanswered.ts";

export interface ProposeOptions {
  readonly signal?: AbortSignal;
  readonly deadlineMs?: number;
  readonly principal?: string;
}

export interface ProposalsOptions {
  readonly self: RaftId;
  readonly boot: Start;
  /** A later start of this node has opened a session, or one from a copy of its disk. */
  readonly outdated: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly timing: Timing;
  /** Hands envelopes to the leader, this node or another. @returns false where none is known or it takes none now */
  readonly submit: (envelopes: readonly Uint8Array[]) => boolean;
  readonly cutOff: () => boolean;
  /** Schema that all members know: what is newer would be refused. */
  readonly version: () => number;
}

interface Pending {
  readonly command: Command;
  readonly principal: string | undefined;
  readonly deadlineAt: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
  readonly signal: AbortSignal | undefined;
  abort: (() => void) | undefined;
  /** Set when it is admitted. */
  session: number;
  sequence: number;
  envelope: Uint8Array | undefined;
  /** 0: to be sent as soon as there is a leader. */
  resendAt: number;
  attempts: number;
  settled: boolean;
}

/** Below the window of `apply`, so that no retry ever falls out of it. */
const WINDOW = 1_000;
/** Sent again after one, two, four, four.. times `resendMs`. */
const ATTEMPTS_SLOWEST = 2;

/**
 * What this node has proposed and not seen applied. Each goes out under one (session, sequence) as often as it takes, so that
 * it applies once (G8), and is answered when it has applied on this node.
 */
export class Proposals {
  readonly #options: ProposalsOptions;
  readonly #pending = new Unanswered<Pending>(WINDOW);
  readonly #queue: Pending[] = [];
  #pendingBytes = 0;
  #session: number | undefined;
  #opening = false;
  #openAt = 0;
  #sequence = 0;
  #stopped: OciError | undefined;

  constructor(options: ProposalsOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#pending.size + this.#queue.length;
  }

  propose(command: Command, options: ProposeOptions = {}): Promise<Outcome> {
    const { signal } = options;
    // `apply` would refuse it without knowing whose it was, and nobody would ever be answered.
    if (!isWellFormed(command.type, command))
      return Promise.reject(new TypeError(`${command.type} has a field that is missing or out of bounds`));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (this.#options.cutOff()) return Promise.reject(cutOffError());
    return new Promise<Outcome>((resolve, reject) => {
      const pending: Pending = {
        command,
        principal: options.principal,
        deadlineAt: this.#now() + (options.deadlineMs ?? this.#options.timing.deadlineMs),
        resolve,
        reject,
        signal,
        abort: undefined,
        session: 0,
        sequence: 0,
        envelope: undefined,
        resendAt: 0,
        attempts: 0,
        settled: false,
      };
      if (signal !== undefined) {
        pending.abort = () => this.#reject(pending, signal.reason);
        signal.addEventListener("abort", pending.abort, { once: true });
      }
      // What needs no session does not wait behind what waits for one.
      if (isSessionless(command.type)) this.#queue.unshift(pending);
      else this.#queue.push(pending);
      this.pump();
    });
  }

  /** Admits what fits and sends what is due. */
  pump(): void {
    const sent: Pending[] = [];
    for (let next = this.#queue[0]; next !== undefined && this.#fits(next); next = this.#queue[0]) {
      this.#queue.shift();
      if (this.#admit(next)) sent.push(next);
    }
    this.#send(sent);
  }

  /** Whoever was taken for the leader is none: all is sent again with the next tick. */
  refused(): void {
    for (const pending of this.#pending.values()) {
      pending.resendAt = 0;
      pending.attempts = 0;
    }
  }

  /** The leader does not take one that was forwarded to it: it is not asked again. */
  refusedOne(hash: Uint8Array, reason: string): void {
    for (const pending of this.#pending.values()) {
      if (pending.envelope === undefined || Buffer.compare(envelopeHash(pending.envelope), hash) !== 0) continue;
      this.#reject(pending, refusedError(pending.command, reason));
    }
  }

  /** The leader may be another: all that is unanswered is sent again. */
  leaderChanged(): void {
    this.refused();
    this.tick();
  }

  tick(): void {
    const now = this.#now();
    for (const pending of [...this.#pending.values(), ...this.#queue]) {
      if (now >= pending.deadlineAt) this.#reject(pending, unansweredError(pending.command));
    }
    this.#send(this.#pending.values().filter(({ resendAt }) => now >= resendAt));
    this.pump();
  }

  applied(commands: readonly AppliedCommand[]): void {
    for (const { session, sequence, outcome } of commands) {
      const pending = this.#pending.get(session, sequence);
      if (pending === undefined) continue;
      if (outcome.refused === "session" && pending.session === this.#session) this.#sessionEnded();
      if (outcome.refused === "session") this.#reject(pending, sessionError());
      else if (this.#settle(pending)) pending.resolve(outcome);
    }
    if (this.#queue.length > 0) this.pump();
  }

  /** Nobody waits for an answer that cannot come. */
  cutOff(): void {
    this.#rejectAll(cutOffError());
  }

  stop(): void {
    this.#stopped = stoppingError();
    this.#rejectAll(this.#stopped);
  }

  #rejectAll(error: OciError): void {
    for (const pending of [...this.#pending.values(), ...this.#queue]) this.#reject(pending, error);
  }

  #fits(pending: Pending): boolean {
    const { proposalsMax, proposalBytesMax } = this.#options.timing;
    if (this.#pending.size >= proposalsMax || this.#pendingBytes >= proposalBytesMax) return false;
    if (isSessionless(pending.command.type)) return true;
    if (this.#session === undefined) {
      this.#openSession();
      return false;
    }
    return this.#sequence - this.#lowest() < WINDOW;
  }

  /** Gives it its place in the session. @returns false where it was refused at once */
  #admit(pending: Pending): boolean {
    const { command, principal } = pending;
    const sessionless = isSessionless(command.type);
    const session = sessionless ? 0 : (this.#session ?? 0);
    pending.sequence = sessionless ? Math.floor(this.#options.random.float() * 2 ** 48) : this.#sequence;
    const lowest = sessionless ? 0 : this.#lowest();
    try {
      pending.envelope = encodeEnvelope({ v: this.#options.version(), session, sequence: pending.sequence, lowest, principal, command });
    } catch (error) {
      this.#reject(pending, error);
      return false;
    }
    if (!sessionless) this.#sequence += 1;
    pending.session = session;
    this.#pending.add(pending);
    this.#pendingBytes += pending.envelope.byteLength;
    return true;
  }

  #lowest(): number {
    return this.#pending.lowest ?? this.#sequence;
  }

  #send(pending: readonly Pending[]): void {
    if (pending.length === 0) return;
    const submitted = this.#options.submit(pending.map(({ envelope }) => envelope!));
    const now = this.#now();
    for (const each of pending) {
      each.resendAt = submitted ? now + this.#options.timing.resendMs * 2 ** Math.min(each.attempts, ATTEMPTS_SLOWEST) : 0;
      if (submitted) each.attempts += 1;
    }
  }

  #openSession(): void {
    if (this.#opening || this.#now() < this.#openAt) return;
    this.#opening = true;
    this.#openAt = this.#now() + this.#options.timing.readRoundMs;
    // In a turn of its own: whoever pumps is looking at the queue.
    queueMicrotask(() => this.#open());
  }

  #open(): void {
    const { self, boot, outdated } = this.#options;
    const { incarnation, nonce, earlier } = boot;
    this.propose({ type: "session.open", raftId: self, boot: { incarnation, nonce, earlier } })
      .then(
        ({ value, refused }) => {
          if (refused === "incarnation") outdated();
          this.#session = value;
          this.#sequence = 0;
          if (value !== undefined) this.#pending.begin(value);
          // Not a member (yet): the next tick asks again, until the deadlines of those that wait.
        },
        () => undefined,
      )
      .finally(() => {
        this.#opening = false;
        if (this.#session !== undefined) this.pump();
      });
  }

  /** Its time has passed, or the state has been replaced: those that come are proposed under a new one. */
  #sessionEnded(): void {
    this.#session = undefined;
  }

  #reject(pending: Pending, reason: unknown): void {
    if (this.#settle(pending)) pending.reject(reason);
  }

  /** It waits no more. @returns false where it had an answer already */
  #settle(pending: Pending): boolean {
    if (pending.settled) return false;
    pending.settled = true;
    if (pending.abort !== undefined) pending.signal?.removeEventListener("abort", pending.abort);
    if (this.#pending.delete(pending)) this.#pendingBytes -= pending.envelope?.byteLength ?? 0;
    else {
      const at = this.#queue.indexOf(pending);
      if (at >= 0) this.#queue.splice(at, 1);
    }
    return true;
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }
}
