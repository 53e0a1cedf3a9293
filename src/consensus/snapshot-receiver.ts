import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import { SnapshotCut, SnapshotError, SnapshotReader } from "../metadata/snapshot.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { ConsensusError } from "./errors.ts";
import { encodeWanted, type SnapshotHeader } from "./snapshot-header.ts";
import type { AppliedStore, Staging } from "./store.ts";

export interface SnapshotReceiverOptions {
  readonly self: RaftId;
  readonly store: AppliedStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether a snapshot of this index is of use. */
  readonly wants: (index: number) => boolean;
  /** Puts a whole snapshot in place, or discards it where it is of no use any more. */
  readonly install: (staging: Staging, index: number) => Promise<void>;
}

interface Partial {
  readonly meta: SnapshotMeta;
  readonly seal: Uint8Array;
  readonly staging: Staging;
  readonly reader: SnapshotReader;
}

const NOTHING = new Uint8Array(0);
/** Twice as long as a sender holds its state for a stream that was cut: nobody will go on with it then, as where the log has brought the rest, and it takes room. */
const KEEP_MS = 120_000;

/** Takes snapshots in. What a stream that was cut has brought is kept, verified, and the next stream of the same snapshot goes on after it. */
export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  #partial: Partial | undefined;
  /** Set while a stream that was cut may be gone on with. */
  #cancelDrop: (() => void) | undefined;
  #dropping: Promise<void> = Promise.resolve();
  /** The stream that runs. */
  #running: { readonly abort: AbortController; readonly ended: Promise<unknown> } | undefined;
  #stopped = false;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /**
   * One stream of the protocol, offer or content.
   * @returns the answer to its sender; for content once it is installed
   * @throws ConsensusError transfer, SnapshotError
   */
  async take(from: RaftId, header: Exclude<SnapshotHeader, { kind: "request" }>, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    const { self, wants } = this.#options;
    const { message, seal } = header;
    const { meta } = message.snapshot;
    if (message.from !== from || message.to !== self)
      throw new ConsensusError("transfer", `A snapshot from ${from} says that it goes from ${message.from} to ${message.to}.`);
    if (header.kind === "offer") {
      if (wants(meta.index)) return encodeWanted(this.#resumeAfter(meta, seal));
      if (this.#running === undefined) await this.#drop();
      return encodeWanted(undefined);
    }
    await this.#alone((signal) => this.#receive(from, header, abortable(chunks, signal)));
    return NOTHING;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#running?.abort.abort(new ConsensusError("transfer", "The node is stopping."));
    await this.#running?.ended;
    await this.#drop();
  }

  /** Another stream says that the one before is dead, or that its sender leads no more: it would hold the newer one up until it times out. */
  async #alone(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    while (this.#running !== undefined) {
      this.#running.abort.abort(new ConsensusError("transfer", "Another snapshot came in its place."));
      await this.#running.ended;
    }
    if (this.#stopped) throw new ConsensusError("transfer", "The node is stopping.");
    const abort = new AbortController();
    const work = run(abort.signal);
    const ended = work
      .catch(() => undefined)
      .finally(() => {
        this.#running = undefined;
      });
    this.#running = { abort, ended };
    await work;
  }

  async #receive(
    from: RaftId,
    { message, seal, after }: Extract<SnapshotHeader, { kind: "content" }>,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { log, wants, install } = this.#options;
    const { meta } = message.snapshot;
    if (!wants(meta.index)) return;
    const partial = await this.#begin(meta, seal, after);
    log.info({ from, index: meta.index, resumed: after !== "" }, "receiving a snapshot of the catalog");
    let writing = false;
    try {
      for await (const rows of partial.reader.read(chunks)) {
        writing = true;
        await partial.staging.write(rows);
        writing = false;
      }
      writing = true;
      await partial.staging.finish();
    } catch (error) {
      // Altered bytes: none of it is trusted. A database of which one write has failed may fail all that follow. After a cut what was verified may be gone on from.
      if (writing || (error instanceof SnapshotError && !(error instanceof SnapshotCut))) await this.#drop();
      else this.#cancelDrop = this.#options.clock.after(KEEP_MS, () => void this.#drop().catch(() => undefined)); // it goes at the next open
      throw error;
    }
    this.#partial = undefined;
    await install(partial.staging, meta.index);
  }

  async #begin(meta: SnapshotMeta, seal: Uint8Array, after: string): Promise<Partial> {
    if (after !== "") {
      const partial = this.#partial;
      if (partial === undefined || this.#resumeAfter(meta, seal) !== after)
        throw new ConsensusError("transfer", "A snapshot goes on from where this node is not.", { index: meta.index });
      this.#cancelDrop?.();
      return partial;
    }
    await this.#drop();
    this.#partial = { meta, seal, staging: await this.#options.store.stage(meta, seal), reader: new SnapshotReader() };
    return this.#partial;
  }

  /** Equal seals at one index are equal states. */
  #resumeAfter(meta: SnapshotMeta, seal: Uint8Array): string {
    const partial = this.#partial;
    const same = partial?.meta.index === meta.index && partial.meta.term === meta.term && Buffer.compare(partial.seal, seal) === 0;
    return same && partial !== undefined ? partial.reader.lastKey : "";
  }

  /** One after the other, and before another is begun: they have the same folder. */
  #drop(): Promise<void> {
    this.#cancelDrop?.();
    const partial = this.#partial;
    this.#partial = undefined;
    const dropped = this.#dropping.then(() => partial?.staging.discard());
    this.#dropping = dropped.catch(() => undefined);
    return dropped;
  }
}

/** Each read has a promise of its own: a race with one that outlives them all would keep every chunk until the stream has ended. */
async function* abortable(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  let leave: (reason: unknown) => void = () => undefined;
  const onAbort = (): void => leave(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        leave = reject;
        if (signal.aborted) reject(signal.reason);
        else iterator.next().then(resolve, reject);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
