import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import { isAbortError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ContentRouting } from "./content-routing.ts";
import type { LocalBlobs } from "./exchange.ts";

export interface AnnouncerLimits {
  /** Announcements, those that are repeated among them: one a period, and so many at once after a quiet time. */
  readonly periodMs: number;
  readonly burst: number;
  /** An announcement is repeated after so long; the routing forgets it later than that. */
  readonly refreshMs: number;
  /** Cached copies that are announced at most: with a refresh each half hour, so many take half of the budget. */
  readonly copiesMax: number;
}

export const ANNOUNCER_LIMITS: AnnouncerLimits = { periodMs: 2_000, burst: 20, refreshMs: 30 * 60_000, copiesMax: 500 };

export interface AnnouncerOptions {
  readonly routing: ContentRouting;
  readonly blobs: Pick<LocalBlobs, "stat" | "list">;
  /** Whether a copy here would stand in no record of a blob that is live: what is in the record needs no announcement. */
  readonly isUnrecorded: (digest: Digest) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<AnnouncerLimits>;
}

interface Entry {
  uses: number;
  usedMs: number;
  announcedMs: number | undefined;
}

/** Each use makes a copy so much younger; from `USES_MAX` on no more, so that what was popular once gives way. */
const USE_MS = 60_000;
const USES_MAX = 60;
const PAGE = 256;
const PROVIDE_MS = 10_000;

/** Announces this node's cached copies within a budget, the newest and most used first, and again before they are forgotten. */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #limits: AnnouncerLimits;
  readonly #entries = new Map<Digest, Entry>();
  readonly #stopping = new AbortController();
  readonly #endRounds: () => void;
  #tokens: number;
  /** Where the look through the copies of an earlier run has come to; undefined once it is done. */
  #listedTo: string | undefined = "";
  #running: Promise<void> | undefined;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.#limits = { ...ANNOUNCER_LIMITS, ...options.limits };
    this.#tokens = this.#limits.burst;
    this.#endRounds = options.clock.every(this.#limits.periodMs, () => {
      this.#tokens = Math.min(this.#limits.burst, this.#tokens + 1);
      this.#wake();
    });
  }

  /** A copy was cached here, or one that is here was read by a client or a peer. */
  used(digest: Digest): void {
    if (this.#stopping.signal.aborted || !this.#options.isUnrecorded(digest)) return;
    const entry = this.#entries.get(digest) ?? { uses: 0, usedMs: 0, announcedMs: undefined };
    entry.uses = Math.min(USES_MAX, entry.uses + 1);
    entry.usedMs = this.#options.clock.monotonicMs();
    this.#entries.set(digest, entry);
    if (entry.announcedMs === undefined) this.#wake();
  }

  async stop(): Promise<void> {
    this.#endRounds();
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
    await this.#running;
  }

  #wake(): void {
    if (this.#stopping.signal.aborted || this.#running !== undefined) return;
    this.#running = this.#round()
      .catch((error: unknown) => {
        if (!isAbortError(error)) this.#options.log.debug({ error }, "cached copies could not be announced: it is tried again");
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #round(): Promise<void> {
    await this.#listOne();
    await this.#trim();
    for (;;) {
      const due = this.#tokens > 0 ? this.#mostWanted((entry) => this.#isDue(entry)) : undefined;
      if (due === undefined) return;
      await this.#announce(...due);
    }
  }

  async #announce(digest: Digest, entry: Entry): Promise<void> {
    const { routing, blobs, isUnrecorded, clock } = this.#options;
    if (!isUnrecorded(digest) || (await blobs.stat(digest)) === undefined) return this.#forget(digest);
    this.#tokens -= 1;
    entry.announcedMs = clock.monotonicMs(); // also where it fails: the next refresh comes, and one bad peer holds up nobody
    const controller = new AbortController();
    const cancel = clock.after(PROVIDE_MS, () => controller.abort(new DOMException("the announcement took too long", "TimeoutError")));
    await routing.provide(digest, AbortSignal.any([controller.signal, this.#stopping.signal])).finally(cancel);
  }

  /** One page a round of what an earlier run has cached. */
  async #listOne(): Promise<void> {
    const { blobs, isUnrecorded } = this.#options;
    if (this.#listedTo === undefined) return;
    const page = await blobs.list(this.#listedTo, PAGE);
    for (const digest of page) {
      if (isUnrecorded(digest) && !this.#entries.has(digest)) this.#entries.set(digest, { uses: 0, usedMs: 0, announcedMs: undefined });
    }
    this.#listedTo = page.length < PAGE || this.#entries.size > this.#limits.copiesMax ? undefined : page.at(-1);
  }

  async #trim(): Promise<void> {
    while (this.#entries.size > this.#limits.copiesMax) {
      const [least] = [...this.#entries].reduce((a, b) => (rankOf(a[1]) <= rankOf(b[1]) ? a : b));
      await this.#forget(least);
    }
  }

  async #forget(digest: Digest): Promise<void> {
    const wasAnnounced = this.#entries.get(digest)?.announcedMs !== undefined;
    this.#entries.delete(digest);
    if (wasAnnounced) await this.#options.routing.withdraw(digest);
  }

  #isDue({ announcedMs }: Entry): boolean {
    return announcedMs === undefined || this.#options.clock.monotonicMs() - announcedMs >= this.#limits.refreshMs;
  }

  #mostWanted(fits: (entry: Entry) => boolean): [Digest, Entry] | undefined {
    let found: [Digest, Entry] | undefined;
    for (const each of this.#entries) if (fits(each[1]) && (found === undefined || rankOf(each[1]) > rankOf(found[1]))) found = each;
    return found;
  }
}

function rankOf({ uses, usedMs }: Entry): number {
  return usedMs + uses * USE_MS;
}
