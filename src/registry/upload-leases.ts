import type { RepositoryName } from "../core/reference.ts";
import { RENEWED_LINKS_MAX } from "../metadata/commands.ts";
import type { Context } from "./context.ts";

/** A repository is looked at once in this part of a lease, however many uploads go on in it. */
const LOOKS_A_LEASE = 16;
/** What is left after so many commands waits for the next look. */
const PAGES_A_LOOK = 100;
const RETRY_MS = 30_000;
/** Repositories remembered; one that is forgotten is only looked at sooner. */
const REPOSITORIES_MAX = 10_000;

/**
 * Keeps what was pushed before while the rest of an image comes in: progress of an upload renews the unreferenced links of its repository of whose lease
 * less than half is left (design.md, "Leases"), in the background.
 */
export class UploadLeases {
  readonly #context: Context;
  /** When each repository may be looked at again, on the monotonic clock. */
  readonly #dueMs = new Map<RepositoryName, number>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** To be told of every chunk: most calls cost one look at a map. */
  progressed(repository: RepositoryName): void {
    const { clock, leaseMs, log } = this.#context;
    if (clock.monotonicMs() < (this.#dueMs.get(repository) ?? 0)) return;
    this.#setDue(repository, leaseMs() / LOOKS_A_LEASE);
    void this.#renew(repository).catch((error: unknown) => {
      this.#setDue(repository, RETRY_MS);
      log.warn({ repository, error }, "the leases of a repository into which an upload runs could not be renewed: it is tried again");
    });
  }

  /** The same bytes, each chunk of which is progress. */
  watch(repository: RepositoryName, body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const progressed = (): void => this.progressed(repository);
    return {
      [Symbol.asyncIterator]() {
        const chunks = body[Symbol.asyncIterator]();
        return {
          next() {
            progressed();
            return chunks.next();
          },
          // at once, also while a chunk is awaited: a generator would wait for it first
          return: async () => (await chunks.return?.()) ?? { done: true, value: undefined },
        };
      },
    };
  }

  #setDue(repository: RepositoryName, delayMs: number): void {
    this.#dueMs.delete(repository); // to the end: the oldest go first
    this.#dueMs.set(repository, this.#context.clock.monotonicMs() + delayMs);
    const oldest = this.#dueMs.keys().next();
    if (this.#dueMs.size > REPOSITORIES_MAX && oldest.done !== true) this.#dueMs.delete(oldest.value);
  }

  async #renew(repository: RepositoryName): Promise<void> {
    const { consensus, leaseMs } = this.#context;
    for (let page = 0; page < PAGES_A_LOOK; page += 1) {
      const before = consensus.catalog.time() + leaseMs() / 2;
      const digests = await consensus.catalog.leasesEnding(repository, before, RENEWED_LINKS_MAX);
      if (digests.length === 0) return;
      await consensus.propose({ type: "lease.renewLinks", repository, digests });
      if (digests.length < RENEWED_LINKS_MAX) return;
    }
  }
}
