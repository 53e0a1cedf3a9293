import type { Clock } from "../core/clock.ts";
import { isAbortError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import { SnapshotWriter } from "../metadata/snapshot.ts";
import type { SnapshotMessage } from "../raft/types.ts";
import type { SnapshotProgress } from "./consensus.ts";
import { decodeWanted, encodeHeader } from "./snapshot-header.ts";
import type { AppliedStore, StoreSnapshot } from "./store.ts";
import type { Transport } from "./transport.ts";

export interface SnapshotSenderOptions {
  readonly store: AppliedStore;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly report: (to: RaftId, status: "finish" | "failure") => void;
}

interface Held {
  readonly snapshot: StoreSnapshot;
  readonly writer: SnapshotWriter;
  /** Some of it has been sent. */
  begun: boolean;
  readonly beganMs: number;
  sentBytes: number;
  /** Its state cannot be read any more, as when the database was opened again. */
  unreadable: boolean;
  /** Set while no stream runs: it is let go then. */
  cancel: (() => void) | undefined;
}

/** So long a state is held for a peer whose stream was cut: the log after it must stay, and the disk cannot forget what it replaced. */
const HOLD_MS = 60_000;

/** Streams the applied state to peers. A stream that was cut goes on from the same state, after what the peer has. */
export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #held = new Map<RaftId, Held>();
  readonly #sending = new Set<RaftId>();
  readonly #stopping = new AbortController();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** The lowest index that a stream will leave its receiver at: the log after it must stay. */
  get keepFrom(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...[...this.#held.values()].map(({ snapshot }) => snapshot.meta.index));
  }

  /** Streams whose content is on its way. */
  get progress(): readonly SnapshotProgress[] {
    const nowMs = this.#options.clock.monotonicMs();
    const streams = [...this.#held].filter(([to, held]) => held.begun && this.#sending.has(to));
    return streams.map(([to, { sentBytes, beganMs }]) => ({ to, sentBytes, tookMs: nowMs - beganMs }));
  }

  send(message: SnapshotMessage): void {
    if (this.#sending.has(message.to) || this.#stopping.signal.aborted) return;
    this.#sending.add(message.to);
    void this.#stream(message);
  }

  /** This node's own state was replaced: what is held of the old one cannot be read any more. */
  replaced(): void {
    for (const to of [...this.#held.keys()]) this.#letGo(to);
  }

  stop(): void {
    this.#stopping.abort();
    for (const to of [...this.#held.keys()]) if (!this.#sending.has(to)) this.#letGo(to);
  }

  async #stream(message: SnapshotMessage): Promise<void> {
    const { to } = message;
    let status: "finish" | "failure" = "failure";
    try {
      await this.#offer(message, await this.#hold(to));
      status = "finish";
    } catch (error) {
      if (!isAbortError(error)) this.#options.log.warn({ to, error: String(error) }, "a snapshot did not arrive; it is tried again");
    }
    this.#sending.delete(to);
    const held = this.#held.get(to);
    if (status === "failure" && held?.begun === true && !held.unreadable && !this.#stopping.signal.aborted) this.#letGoLater(to);
    else this.#letGo(to);
    if (!this.#stopping.signal.aborted) this.#options.report(to, status);
  }

  async #offer(message: SnapshotMessage, held: Held): Promise<void> {
    const { snapshot, writer } = held;
    const { transport, log } = this.#options;
    const { to } = message;
    const { signal } = this.#stopping;
    const { meta, seal } = snapshot;
    const sent: SnapshotMessage = { ...message, snapshot: { meta, data: message.snapshot.data } };
    const answer = await transport.sendSnapshot(to, encodeHeader({ kind: "offer", message: sent, seal }), nothing(), signal);
    const wanted = decodeWanted(answer);
    if (wanted === undefined) return;
    const after = writer.canResume(wanted) ? wanted : "";
    held.begun = true;
    log.info({ to, index: meta.index, resumed: after !== "" }, "sending a snapshot of the catalog");
    await transport.sendSnapshot(to, encodeHeader({ kind: "content", message: sent, seal, after }), read(held, after), signal);
  }

  async #hold(to: RaftId): Promise<Held> {
    const known = this.#held.get(to);
    known?.cancel?.();
    if (known !== undefined) {
      known.cancel = undefined;
      return known;
    }
    const snapshot = await this.#options.store.snapshot();
    const beganMs = this.#options.clock.monotonicMs();
    const writer = new SnapshotWriter(snapshot);
    const held: Held = { snapshot, writer, beganMs, sentBytes: 0, begun: false, unreadable: false, cancel: undefined };
    this.#held.set(to, held);
    return held;
  }

  #letGoLater(to: RaftId): void {
    const held = this.#held.get(to);
    if (held !== undefined) held.cancel = this.#options.clock.after(HOLD_MS, () => this.#letGo(to));
  }

  #letGo(to: RaftId): void {
    const held = this.#held.get(to);
    this.#held.delete(to);
    held?.cancel?.();
    void held?.snapshot.close().catch(() => undefined); // its database may be closed already
  }
}

/** A state that fails to be read would fail each stream that goes on from it: the next one is of another state. */
async function* read(held: Held, after: string): AsyncIterable<Uint8Array> {
  try {
    for await (const chunk of held.writer.chunks(after)) {
      held.sentBytes += chunk.byteLength;
      yield chunk;
    }
  } catch (error) {
    held.unreadable = true;
    throw error;
  }
}

async function* nothing(): AsyncIterable<Uint8Array> {}
