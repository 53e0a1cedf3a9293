import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { PeerId } from "../core/peer.ts";
import { abortError } from "./abort.ts";
import type { PeerLink, PieceReply, PieceRequest } from "./link.ts";
import type { PeerTable } from "./peer-table.ts";

export interface RaceLimits {
  /** A piece that has not come by then, or by four times what it is expected to take, is asked from one more holder. */
  readonly hedgeMs: number;
  /** A holder that sends nothing for so long is given up, also where there is no other. */
  readonly stallMs: number;
}

export const RACE_LIMITS: RaceLimits = { hedgeMs: 500, stallMs: 10_000 };

export interface RaceSettings {
  readonly link: PeerLink;
  readonly peers: PeerTable;
  readonly clock: Clock;
  readonly limits: RaceLimits;
  readonly request: () => PieceRequest;
  /** Holders that may be asked: those that proved bad are not among them. */
  readonly holders: () => readonly PeerId[];
  /**
   * Looks for more holders: asked where none of those that are known is connected, where all that were asked are late, and before the race is given up.
   * @returns resolves when one more may be known; undefined where there is nothing to wait for
   */
  readonly findMore: () => Promise<void> | undefined;
  /** Whether the reply is what it should be; a false one is reported by the caller and its peer is never asked again. */
  readonly verify: (peer: PeerId, reply: PieceReply) => Promise<boolean>;
  /** The peer says that it has no copy. */
  readonly lacking: (peer: PeerId) => void;
}

interface Attempt {
  readonly peer: PeerId;
  readonly controller: AbortController;
  readonly beganMs: number;
  progressMs: number;
  /** All bytes are here and are being hashed: nothing that another holder could do faster. */
  complete: boolean;
}

const ATTEMPTS_PER_PEER = 2;
const EXPECTED_FACTOR = 4;
const TIMER_MIN_MS = 10;

/**
 * One verified piece: from the best holder, and where that one is late, dead or lying from the next. Each later hedge waits half as long,
 * so that two dead holders cost less than a second.
 * @throws OciError UNAVAILABLE where no holder can give it
 */
export function racePiece(settings: RaceSettings, signal: AbortSignal): Promise<Uint8Array> {
  return new PieceRace(settings).run(signal);
}

class PieceRace {
  readonly #settings: RaceSettings;
  readonly #active = new Set<Attempt>();
  readonly #tries = new Map<PeerId, number>();
  readonly #result = Promise.withResolvers<Uint8Array>();
  #hedges = 0;
  #isLooking = false;
  #hasLooked = false;
  #over = false;
  #wonBeganMs = Number.NEGATIVE_INFINITY;
  #cancelTimer: () => void = () => {};
  #lastError: unknown;
  readonly #digest: Digest;
  readonly #sizeBytes: number;

  constructor(settings: RaceSettings) {
    this.#settings = settings;
    const { digest, range } = settings.request();
    this.#digest = digest;
    this.#sizeBytes = range.end - range.start;
  }

  async run(signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    const onAbort = (): void => this.#result.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const { link, holders } = this.#settings;
    if (!holders().some((peer) => link.isConnected(peer))) this.#look();
    this.#next();
    try {
      return await this.#result.promise;
    } finally {
      this.#over = true;
      this.#cancelTimer();
      signal.removeEventListener("abort", onAbort);
      for (const attempt of this.#active) {
        if (attempt.beganMs < this.#wonBeganMs) this.#settings.peers.suspect(attempt.peer); // asked before the winner, and still not done
        attempt.controller.abort(abortError("another holder was faster"));
      }
    }
  }

  /** Asks one more holder; where none is left, nothing is under way and no more can be found, the race is lost. */
  #next(): void {
    if (this.#over) return;
    const peer = this.#candidate();
    if (peer !== undefined) void this.#attempt(peer);
    else if (this.#active.size === 0 && !this.#look()) this.#result.reject(this.#lost());
    this.#watch();
  }

  /** @returns whether more holders may become known */
  #look(): boolean {
    if (this.#isLooking) return true;
    this.#hasLooked = true;
    const news = this.#settings.findMore();
    if (news === undefined) return false;
    this.#isLooking = true;
    void news.then(() => {
      this.#isLooking = false;
      if (this.#active.size === 0) this.#next();
      else this.#onTimer(); // those who are late already are not waited for any longer
    });
    return true;
  }

  #candidate(): PeerId | undefined {
    const { peers, link } = this.#settings;
    const busy = new Set([...this.#active].map((attempt) => attempt.peer));
    const free = this.#settings.holders().filter((peer) => !busy.has(peer) && this.#triesOf(peer) < ATTEMPTS_PER_PEER);
    if (free.length === 0) return undefined;
    const fewest = Math.min(...free.map((peer) => this.#triesOf(peer)));
    return peers.rank(
      free.filter((peer) => this.#triesOf(peer) === fewest),
      (candidate) => link.isConnected(candidate),
      this.#sizeBytes,
    )[0];
  }

  #triesOf(peer: PeerId): number {
    return this.#tries.get(peer) ?? 0;
  }

  async #attempt(peer: PeerId): Promise<void> {
    const { link, peers, clock, verify, lacking } = this.#settings;
    const beganMs = clock.monotonicMs();
    const attempt: Attempt = { peer, controller: new AbortController(), beganMs, progressMs: beganMs, complete: false };
    const request = this.#settings.request();
    this.#tries.set(peer, this.#triesOf(peer) + 1);
    this.#active.add(attempt);
    peers.began(peer);
    const onProgress = (): void => {
      attempt.progressMs = clock.monotonicMs();
    };
    try {
      const reply = await link.get(peer, request, onProgress, attempt.controller.signal);
      const tookMs = clock.monotonicMs() - beganMs;
      attempt.complete = true;
      if (await verify(peer, reply)) {
        peers.delivered(peer, tookMs, reply.bytes.byteLength);
        this.#wonBeganMs = beganMs;
        this.#result.resolve(reply.bytes);
        return;
      }
    } catch (error) {
      if (error instanceof OciError && error.code === "BLOB_UNKNOWN") lacking(peer);
      else if (!this.#over) peers.suspect(peer);
      this.#lastError = error;
    } finally {
      this.#active.delete(attempt);
      peers.ended(peer);
    }
    this.#next();
  }

  /** One timer a race: it fires when the last one under way is late, so that the next is asked, or when one is dead, so that it is given up. */
  #watch(): void {
    this.#cancelTimer();
    if (this.#over || this.#active.size === 0) return;
    const now = this.#settings.clock.monotonicMs();
    const active = [...this.#active].filter((attempt) => !attempt.complete);
    if (active.length === 0) return; // all bytes are here: what follows is the end of an attempt
    const deadMs = Math.min(...active.map((attempt) => attempt.progressMs + this.#settings.limits.stallMs));
    const isNext = active.length === this.#active.size && (this.#candidate() !== undefined || !this.#hasLooked);
    const lateMs = isNext ? Math.max(...active.map((attempt) => this.#lateMs(attempt))) : Number.POSITIVE_INFINITY;
    const waitMs = Math.max(TIMER_MIN_MS, Math.min(deadMs, lateMs) - now);
    this.#cancelTimer = this.#settings.clock.after(waitMs, () => this.#onTimer());
  }

  #onTimer(): void {
    if (this.#over) return;
    const { clock, limits } = this.#settings;
    const now = clock.monotonicMs();
    for (const attempt of this.#active) {
      if (!attempt.complete && now - attempt.progressMs >= limits.stallMs)
        attempt.controller.abort(abortError("the holder sent nothing for too long"));
    }
    const allLate = [...this.#active].every((attempt) => !attempt.complete && now >= this.#lateMs(attempt));
    if (allLate) this.#look();
    if (allLate && this.#candidate() !== undefined) {
      this.#hedges += 1;
      this.#next();
    } else this.#watch();
  }

  /** When a holder counts as late, as far as is known now: silent for too long, or much slower than the best. */
  #lateMs(attempt: Attempt): number {
    const { limits, peers, holders } = this.#settings;
    const patienceMs = limits.hedgeMs / 2 ** this.#hedges;
    const expectedMs = peers.expectedMs(holders(), this.#sizeBytes) ?? 0;
    return Math.min(attempt.progressMs + patienceMs, attempt.beganMs + Math.max(patienceMs, EXPECTED_FACTOR * expectedMs));
  }

  #lost(): OciError {
    return new OciError(
      "UNAVAILABLE",
      "no holder of the blob can give its bytes now: each was asked, and none answered with a good copy",
      { digest: this.#digest, asked: this.#tries.size },
      this.#lastError,
    );
  }
}
