import type { Consensus } from "../consensus/consensus.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { AUDIT_LENGTHS, AUDIT_NOTES_MAX } from "../metadata/commands.ts";
import type { AuditNote } from "../metadata/records.ts";

/** Takes what is to be found again in the audit trail. */
export interface Audit {
  /** Never throws, and never waits: the record comes within seconds, while there is a quorum. Too long a field is cut. */
  note(event: Omit<AuditNote, "atMs">): void;
}

export interface AuditOptions {
  readonly consensus: Pick<Consensus, "propose" | "self">;
  readonly clock: Clock;
  readonly log: Log;
}

/** At most one entry of the log in so long a time, whatever strangers do. */
const PERIOD_MS = 1_000;
/** What waits while there is no quorum. */
const WAITING_MAX = 1_024;
/** A node that stops tries for so long. */
const LAST_MS = 1_000;

/** Commits notes in batches. Those that do not fit are counted, and their number is noted in their place. */
export class AuditTrail implements Audit {
  readonly #options: AuditOptions;
  readonly #stop: () => void;
  #waiting: AuditNote[] = [];
  #dropped = 0;
  #sending: Promise<void> | undefined;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#stop = options.clock.every(PERIOD_MS, () => {
      this.#sending ??= this.#send().finally(() => {
        this.#sending = undefined;
      });
    });
  }

  note({ action, target, detail }: Omit<AuditNote, "atMs">): void {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push({
      atMs: Math.max(0, Math.trunc(this.#options.clock.wallMs())),
      action: action.slice(0, AUDIT_LENGTHS.action),
      target: target.slice(0, AUDIT_LENGTHS.target),
      detail: detail.slice(0, AUDIT_LENGTHS.detail),
    });
  }

  async #send(signal?: AbortSignal): Promise<void> {
    const { consensus, log } = this.#options;
    const notes = this.#waiting.slice(0, AUDIT_NOTES_MAX);
    if (notes.length === 0) return;
    try {
      const { refused } = await consensus.propose(
        { type: "audit.note", raftId: consensus.self, notes },
        signal === undefined ? {} : { signal },
      );
      if (refused !== undefined) log.warn({ refused, notes }, "the audit trail did not take these records");
    } catch (error) {
      log.debug({ error }, "audit records wait for a quorum");
      return;
    }
    this.#waiting = this.#waiting.slice(notes.length);
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0) this.note({ action: "audit.dropped", target: "", detail: `${dropped} records came while too many waited` });
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#sending;
  }

  /** Commits what still waits, as far as there is a quorum. */
  async stop(): Promise<void> {
    this.#stop();
    await this.#sending;
    const late = new AbortController();
    const cancel = this.#options.clock.after(LAST_MS, () => late.abort(new DOMException("the node stops", "AbortError")));
    await this.#send(late.signal);
    cancel();
  }
}
