import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { SnapshotMessage } from "../raft/types.ts";
import type { Applier } from "./applier.ts";
import type { SnapshotProgress } from "./consensus.ts";
import { ConsensusError } from "./errors.ts";
import { decodeHeader } from "./snapshot-header.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import type { AppliedStore, Staging } from "./store.ts";
import type { Transport } from "./transport.ts";

export interface SnapshotsOptions {
  readonly self: RaftId;
  readonly store: AppliedStore;
  readonly applier: Applier;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly report: (to: RaftId, status: "finish" | "failure") => void;
  /** The content is in place: the message may go to the core. */
  readonly step: (message: SnapshotMessage) => void;
  readonly installed: () => void;
}

/** Of a stream that the core knows nothing of: whoever sends it need not lead. */
const REQUESTED_TERM = 0;

/**
 * The core's snapshot messages carry a handle; the content goes on a stream of its own. What is sent is the newest applied
 * state, or the one of a stream that was cut; the message is made to say so.
 */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  #stopped = false;

  constructor(options: SnapshotsOptions) {
    const { self, store, clock, log } = options;
    this.#options = options;
    this.#sender = new SnapshotSender(options);
    this.#receiver = new SnapshotReceiver({
      self,
      store,
      clock,
      log,
      wants: (index) => index > store.appliedIndex,
      install: (staging, index) => this.#install(staging, index),
    });
  }

  /** The lowest index that a running stream will leave its receiver at. */
  get keepFrom(): number {
    return this.#sender.keepFrom;
  }

  get progress(): readonly SnapshotProgress[] {
    return this.#sender.progress;
  }

  send(message: SnapshotMessage): void {
    this.#sender.send(message);
  }

  /** @throws ConsensusError transfer, SnapshotError */
  async receive(from: RaftId, bytes: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    const header = decodeHeader(bytes);
    if (header.kind === "request") return this.#requested(from, header.atLeast);
    // Only the leader's may go to the core: what was asked for before this node began has come too late.
    if (header.message.term === REQUESTED_TERM) throw new ConsensusError("transfer", "This node has not asked for a snapshot.");
    const answer = await this.#receiver.take(from, header, chunks);
    const { index } = header.message.snapshot.meta;
    // An offer of what is here already is all that the core waits for.
    if (!this.#stopped && index <= this.#options.store.appliedIndex) this.#options.step(header.message);
    return answer;
  }

  stop(): void {
    this.#stopped = true;
    this.#sender.stop();
    void this.#receiver.stop().catch(() => undefined); // what is left of it goes at the next open
  }

  /** A member whose catalog was damaged asks for this one's; any state that was applied is committed, so any member's will do. */
  #requested(from: RaftId, atLeast: number): Uint8Array {
    const { self, store } = this.#options;
    const { appliedIndex: index, appliedTerm, confState } = store;
    if (index < atLeast || confState.voters.length === 0)
      throw new ConsensusError("transfer", `The catalog of ${self} is at entry ${index}; at least ${atLeast} is needed.`, { index });
    const meta = { index, term: appliedTerm, confState };
    this.send({ type: "snapshot", from: self, to: from, term: REQUESTED_TERM, snapshot: { meta, data: new Uint8Array(0) } });
    return new Uint8Array(0);
  }

  /** What the log brought meanwhile may be ahead of the snapshot: then it is not needed any more. */
  async #install(staging: Staging, index: number): Promise<void> {
    const { applier, store, log, installed } = this.#options;
    await applier.exclusive(async () => {
      if (index <= store.appliedIndex || this.#stopped) {
        await staging.discard();
        return;
      }
      // At once, not when all of it is done: a read that is answered by the new applied index must find the new content.
      await staging.commit(() => {
        this.#sender.replaced();
        installed();
      });
      log.info({ index }, "a snapshot of the catalog was installed");
    });
  }
}
