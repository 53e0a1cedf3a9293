import { decode, encode } from "../core/codec.ts";
import { isAbortError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import { readSnapshot, snapshotChunks } from "../metadata/snapshot.ts";
import type { SnapshotMessage } from "../raft/types.ts";
import type { Applier } from "./applier.ts";
import { ConsensusError } from "./errors.ts";
import type { AppliedStore, StagedSnapshot } from "./store.ts";
import type { Transport } from "./transport.ts";
import { decodeSnapshot, encodeSnapshot } from "./wire.ts";

export interface SnapshotsOptions {
  readonly self: RaftId;
  readonly store: AppliedStore;
  readonly applier: Applier;
  readonly transport: Transport;
  readonly log: Log;
  readonly report: (to: RaftId, status: "finish" | "failure") => void;
  /** The content is in place: the message may go to the core. */
  readonly step: (message: SnapshotMessage) => void;
  readonly installed: () => void;
}

/**
 * The core's snapshot messages carry a handle; the content goes on a stream of its own. What is sent is the newest applied
 * state, which is at or beyond the handle; the message is made to say so.
 */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  /** Streams that run, with the index of what they send: the log after it must stay. */
  readonly #sending = new Map<RaftId, number>();
  readonly #stopping = new AbortController();
  #receiving = false;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** The lowest index that a running stream will leave its receiver at. */
  get keepFrom(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#sending.values());
  }

  send(message: SnapshotMessage): void {
    if (this.#sending.has(message.to)) return;
    void this.#stream(message);
  }

  /** @throws ConsensusError transfer, SnapshotError */
  async receive(from: RaftId, header: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    const { message, seal } = decodeHeader(header);
    const { store, self, log } = this.#options;
    if (message.from !== from || message.to !== self) {
      throw new ConsensusError("transfer", `A snapshot from ${from} says that it goes from ${message.from} to ${message.to}.`);
    }
    const { meta } = message.snapshot;
    if (this.#receiving) throw new ConsensusError("transfer", "A snapshot is being received already.");
    this.#receiving = true;
    try {
      if (meta.index > store.appliedIndex) {
        log.info({ from, index: meta.index }, "receiving a snapshot of the catalog");
        await this.#install(await store.stage(meta, seal, rowsOf(chunks, this.#stopping.signal)), meta.index);
      }
    } finally {
      this.#receiving = false;
    }
    if (!this.#stopping.signal.aborted) this.#options.step(message);
    return new Uint8Array(0);
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** What the log brought meanwhile may be ahead of the snapshot: then it is not needed any more. */
  async #install(staged: StagedSnapshot, index: number): Promise<void> {
    const { applier, store, log, installed } = this.#options;
    await applier.exclusive(async () => {
      if (index <= store.appliedIndex || this.#stopping.signal.aborted) {
        await staged.discard();
        return;
      }
      // At once, not when all of it is done: a read that is answered by the new applied index must find the new content.
      await staged.commit(installed);
      log.info({ index }, "a snapshot of the catalog was installed");
    });
  }

  async #stream(message: SnapshotMessage): Promise<void> {
    const { to } = message;
    const { store, transport, log, report } = this.#options;
    const snapshot = store.snapshot();
    this.#sending.set(to, snapshot.meta.index);
    let status: "finish" | "failure" = "failure";
    try {
      const sent: SnapshotMessage = { ...message, snapshot: { meta: snapshot.meta, data: message.snapshot.data } };
      log.info({ to, index: snapshot.meta.index }, "sending a snapshot of the catalog");
      await transport.sendSnapshot(to, encodeHeader(sent, snapshot.seal), snapshotChunks(snapshot), this.#stopping.signal);
      status = "finish";
    } catch (error) {
      if (!isAbortError(error)) log.warn({ to, error: String(error) }, "a snapshot did not arrive; it is tried again");
    } finally {
      this.#sending.delete(to);
      await snapshot.close().catch(() => undefined);
    }
    if (!this.#stopping.signal.aborted) report(to, status);
  }
}

async function* rowsOf(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<readonly (readonly [string, Uint8Array])[]> {
  for await (const batch of readSnapshot(chunks)) {
    signal.throwIfAborted();
    yield batch.flatMap(({ key, value }) => (value === undefined ? [] : [[key, value] as const]));
  }
}

function encodeHeader(message: SnapshotMessage, seal: Uint8Array): Uint8Array {
  return encode([message.from, message.to, message.term, seal, ...encodeSnapshot(message.snapshot)]);
}

function decodeHeader(header: Uint8Array): { message: SnapshotMessage; seal: Uint8Array } {
  const fields = decode(header);
  if (!Array.isArray(fields)) throw new ConsensusError("transfer", "The header of a snapshot is none.");
  const [from, to, term, seal, ...rest] = fields as unknown[];
  if (![from, to, term].every(Number.isSafeInteger) || !(seal instanceof Uint8Array)) {
    throw new ConsensusError("transfer", "The header of a snapshot is none.");
  }
  const snapshot = decodeSnapshot(rest);
  return {
    message: { type: "snapshot", from: from as number, to: to as number, term: term as number, snapshot },
    seal: new Uint8Array(seal),
  };
}
