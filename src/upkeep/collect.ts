import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Digest } from "../core/digest.ts";
import type { RaftId } from "../core/peer.ts";
import type { Command } from "../metadata/commands.ts";
import type { Page, Placed } from "../metadata/garbage-index.ts";
import type { CollectRun } from "../metadata/records.ts";

export interface CollectOptions {
  readonly consensus: Pick<Consensus, "catalog" | "propose" | "barrier">;
  readonly clock: Clock;
}

/** What a run has done so far, or would do. */
export type CollectProgress = Omit<CollectRun, "startedMs" | "endedMs">;

const PAGE = 256;
const AT_ONCE = 16;

/**
 * One run of the garbage collector: it goes through the indexes of what nothing needs, and proposes; `apply` decides each again, under the log's order (G5). So it may
 * run on any node, on two at once, and end at any point. Its cost is in proportion to what it frees. What it condemns each node unlinks (`dispose.ts`), and the leader
 * reclaims (`reclaim.ts`).
 */
export class CollectorRun {
  readonly #options: CollectOptions;
  readonly #signal: AbortSignal;
  readonly #startedMs: number;
  #manifests = 0;
  #links = 0;
  #blobs = 0;
  readonly #freed = new Map<RaftId, number>();

  constructor(options: CollectOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#startedMs = wallMs(options.clock);
  }

  progress(): CollectProgress {
    const freed = [...this.#freed].map(([raftId, sizeBytes]) => ({ raftId, sizeBytes }));
    return { manifests: this.#manifests, links: this.#links, blobs: this.#blobs, freed };
  }

  /**
   * Frees what may go now.
   * @throws OciError UNAVAILABLE without a quorum; AbortError
   */
  async collect(): Promise<CollectRun> {
    const { catalog } = this.#options.consensus;
    const garbage = catalog.garbage();
    await this.#fresh();
    await this.#follow();
    const time = catalog.time();
    await this.#each(
      (after) => garbage.trashDue(time, after, PAGE),
      ({ repository, digest }) => this.#purge(repository, digest),
    );
    await this.#each(
      (after) => garbage.idleLinks(time, after, PAGE),
      async ({ repository, digest }) => {
        if (await this.#isDone({ type: "gc.unlink", repository, digest })) this.#links += 1;
      },
    );
    await this.#each(
      (after) => garbage.unlinked(after, PAGE),
      (digest) => this.#condemn(digest),
    );
    const run = { startedMs: this.#startedMs, endedMs: wallMs(this.#options.clock), ...this.progress() };
    if (run.manifests + run.links + run.blobs > 0) await this.#isDone({ type: "gc.ran", run });
    return run;
  }

  /** What `collect` would do now, and what would follow of it at once; nothing is written. */
  async foresee(): Promise<CollectProgress> {
    const { catalog } = this.#options.consensus;
    const garbage = catalog.garbage();
    await this.#fresh();
    const time = catalog.time();
    const linksLeft = new Map<Digest, number>();
    await this.#each(
      (after) => garbage.trashDue(time, after, PAGE),
      async () => {
        this.#manifests += 1;
      },
    );
    await this.#each(
      (after) => garbage.idleLinks(time, after, PAGE),
      async ({ digest }) => {
        this.#links += 1;
        const left = (linksLeft.get(digest) ?? catalog.blob(digest)?.links ?? 0) - 1;
        linksLeft.set(digest, left);
        if (left === 0) this.#count(digest);
      },
    );
    await this.#each(
      (after) => garbage.unlinked(after, PAGE),
      async (digest) => this.#count(digest),
    );
    return this.progress();
  }

  async #fresh(): Promise<void> {
    await this.#options.consensus.barrier(this.#signal);
  }

  /** Referrers of a subject that was purged go into the trash, and so on with theirs. */
  async #follow(): Promise<void> {
    const { catalog } = this.#options.consensus;
    await this.#each(
      (after) => catalog.garbage().orphans(after, PAGE),
      async ({ repository, digest: subject }) => {
        for (;;) {
          const referrers = await catalog.referrers(repository, subject, "", PAGE);
          for (const { digest } of referrers) await this.#isDone({ type: "manifest.delete", repository, digest });
          if (referrers.length < PAGE) return;
        }
      },
    );
  }

  async #purge(repository: Placed["repository"], digest: Digest): Promise<void> {
    if (await this.#isDone({ type: "manifest.purge", repository, digest })) this.#manifests += 1;
  }

  async #condemn(digest: Digest): Promise<void> {
    const record = this.#options.consensus.catalog.blob(digest);
    if (record === undefined || !(await this.#isDone({ type: "gc.condemn", digest }))) return;
    this.#count(digest, record);
  }

  #count(digest: Digest, record = this.#options.consensus.catalog.blob(digest)): void {
    this.#blobs += 1;
    if (record === undefined) return;
    for (const id of record.copies) this.#freed.set(id, (this.#freed.get(id) ?? 0) + record.sizeBytes);
  }

  async #isDone(command: Command): Promise<boolean> {
    return (await this.#options.consensus.propose(command, { signal: this.#signal })).refused === undefined;
  }

  async #each<T>(scan: (after: string) => Promise<Page<T>>, work: (one: T) => Promise<void>): Promise<void> {
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page: Page<T> = await scan(after);
      after = page.next;
      const left = [...page.found];
      while (left.length > 0) {
        this.#signal.throwIfAborted();
        await Promise.all(left.splice(0, AT_ONCE).map(work));
      }
    }
  }
}

function wallMs(clock: Clock): number {
  return Math.max(0, Math.trunc(clock.wallMs()));
}
