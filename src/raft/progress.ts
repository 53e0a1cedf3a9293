import type { Inflights } from "./inflights.ts";
import type { Index } from "./types.ts";

/** `probe`: one append a round trip, to find where the logs agree. `replicate`: pipelined. `snapshot`: waits for one to be installed. */
export type ProgressState = "probe" | "replicate" | "snapshot";

/** What the leader knows of a peer. `match < next` always. */
export class Progress {
  /** Last index known to match the leader's log. */
  match: Index;
  /** First index to send. */
  next: Index;
  state: ProgressState = "probe";
  /** Where `state` is `snapshot`: its index. */
  pendingSnapshot: Index = 0;
  /** Heard from since the last check of the quorum. */
  recentActive = false;
  /** No append is sent until an answer or a heartbeat reply. */
  flowPaused = false;
  isLearner: boolean;
  readonly inflights: Inflights;
  #sentCommit: Index = 0;

  constructor(match: Index, next: Index, isLearner: boolean, inflights: Inflights) {
    this.match = match;
    this.next = next;
    this.isLearner = isLearner;
    this.inflights = inflights;
  }

  clone(): Progress {
    const copy = new Progress(this.match, this.next, this.isLearner, this.inflights);
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.recentActive = this.recentActive;
    copy.flowPaused = this.flowPaused;
    copy.#sentCommit = this.#sentCommit;
    return copy;
  }

  get paused(): boolean {
    return this.state === "snapshot" || this.flowPaused;
  }

  becomeProbe(): void {
    // A snapshot that was installed brings the peer at least to its index, unless its failure was reported before.
    const next = this.state === "snapshot" ? Math.max(this.match + 1, this.pendingSnapshot + 1) : this.match + 1;
    this.#reset("probe");
    this.next = next;
    this.#sentCommit = Math.min(this.#sentCommit, next - 1);
  }

  becomeReplicate(): void {
    this.#reset("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: Index): void {
    this.#reset("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.#sentCommit = index;
  }

  /** Notes an append that was sent, entries or none, and pauses the flow as the state asks. */
  sentEntries(count: number, bytes: number): void {
    if (this.state === "replicate") {
      if (count > 0) {
        this.next += count;
        this.inflights.add(this.next - 1, bytes);
      }
      this.flowPaused = this.inflights.full;
    } else if (this.state === "probe" && count > 0) {
      this.flowPaused = true;
    }
  }

  sentCommit(commit: Index): void {
    this.#sentCommit = commit;
  }

  /** Whether sending `commit` could move the peer's commit index: not where one was sent that covers all it was sent. */
  canBumpCommit(commit: Index): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** @returns false where the acknowledgement tells nothing new */
  maybeUpdate(index: Index): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.flowPaused = false;
    return true;
  }

  /**
   * Steps back after a rejection of an append whose previous index was `rejected`.
   * @param hint largest index at which the logs could agree
   * @returns false where the rejection is of a message that is out of date
   */
  maybeDecrease(rejected: Index, hint: Index): boolean {
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
    this.flowPaused = false;
    return true;
  }

  #reset(state: ProgressState): void {
    this.flowPaused = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.reset();
  }
}
