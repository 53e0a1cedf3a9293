import type { Consensus } from "../consensus/consensus.ts";
import type { Membership } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { CollectorRun, type CollectProgress } from "./collect.ts";

export interface CollectorOptions {
  readonly consensus: Consensus;
  readonly membership: Pick<Membership, "leads">;
  /** `gc.every`: how long after a run the leader begins another. */
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Of the garbage collector on this node. */
export interface CollectorState {
  readonly running: boolean;
  /** Of the run that goes on here, or was the last one. */
  readonly here: CollectProgress | undefined;
  /** Why the last one here ended before its time. */
  readonly failure: string | undefined;
}

const LOOKS = 60;
const LOOK_MAX_MS = 60_000;

/** Runs the garbage collector: by its schedule while this node leads, and when it is told to. One run at a time. */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #stopping = new AbortController();
  readonly #stopTimer: () => void;
  #run: CollectorRun | undefined;
  #work: Promise<void> | undefined;
  #failure: string | undefined;
  /** When a run ended here, or this node began to lead: what its predecessor did counts for that. */
  #sinceMs: number | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    const lookMs = Math.min(LOOK_MAX_MS, Math.max(1, options.everyMs / LOOKS));
    this.#stopTimer = options.clock.every(lookMs, () => this.#look());
  }

  state(): CollectorState {
    return { running: this.#work !== undefined, here: this.#run?.progress(), failure: this.#failure };
  }

  /** Begins a run, unless one goes on. */
  start(): void {
    if (this.#work !== undefined || this.#stopping.signal.aborted) return;
    const run = new CollectorRun(this.#options, this.#stopping.signal);
    this.#run = run;
    this.#failure = undefined;
    this.#work = this.#collect(run).finally(() => {
      this.#work = undefined;
      this.#sinceMs = this.#options.clock.monotonicMs();
    });
  }

  /** What a run would free now. */
  foresee(): Promise<CollectProgress> {
    return new CollectorRun(this.#options, this.#stopping.signal).foresee();
  }

  async idle(): Promise<void> {
    while (this.#work !== undefined) await this.#work;
  }

  stop(): void {
    this.#stopTimer();
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
  }

  #look(): void {
    const { clock, consensus, everyMs, membership } = this.#options;
    if (!membership.leads()) {
      this.#sinceMs = undefined;
      return;
    }
    this.#sinceMs ??= clock.monotonicMs();
    if (clock.monotonicMs() - this.#sinceMs >= everyMs && consensus.catalog.collector().held === undefined) this.start();
  }

  async #collect(run: CollectorRun): Promise<void> {
    const { log } = this.#options;
    try {
      const { manifests, links, blobs, freed } = await run.collect();
      if (manifests + links + blobs > 0)
        log.info({ manifests, links, blobs, freed }, "the garbage collector freed what nothing needs any more");
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#failure = error instanceof Error ? error.message : String(error);
      log.warn({ error }, "a run of the garbage collector ended before its time: what it did stands, and the next one goes on");
    }
  }
}
