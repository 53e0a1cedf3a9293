import type { Consensus } from "../consensus/consensus.ts";
import type { Membership } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { CollectorRun, type CollectProgress } from "./collect.ts";
import { LeaderSchedule } from "./leader-schedule.ts";

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

/** Runs the garbage collector: by its schedule while this node leads, and when it is told to. One run at a time. */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #stopping = new AbortController();
  readonly #schedule: LeaderSchedule;
  #run: CollectorRun | undefined;
  #work: Promise<void> | undefined;
  #failure: string | undefined;

  constructor(options: CollectorOptions) {
    this.#options = options;
    const run = (): void => {
      if (options.consensus.catalog.collector().held === undefined) this.start();
    };
    this.#schedule = new LeaderSchedule({ ...options, run });
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
      this.#schedule.ran();
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
    this.#schedule.stop();
    this.#stopping.abort(new DOMException("the node stops", "AbortError"));
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
