import type { Clock } from "../core/clock.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { PeerMessage, Transport, TransportHandler } from "./transport.ts";
import { decodePeerMessage, encodePeerMessage } from "./wire.ts";

export interface NetworkOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Uniform between 0 and this. */
  readonly delayMsMax: number;
  readonly lossRatio?: number;
}

/** A network in one process, for tests and simulations. Messages pass through the wire format. */
export class MemoryNetwork {
  readonly #options: NetworkOptions;
  readonly #handlers = new Map<RaftId, TransportHandler>();
  /** Which pairs cannot reach each other, by `from>to`. */
  readonly #cut = new Set<string>();
  /** Sees each message before it is sent; false drops it. */
  filter: (from: RaftId, to: RaftId, message: PeerMessage) => boolean = () => true;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  transport(self: RaftId): Transport {
    return {
      start: async (handler) => {
        this.#handlers.set(self, handler);
      },
      send: (to, messages) => this.#send(self, to, messages),
      sendSnapshot: (to, header, chunks, signal) => this.#sendSnapshot(self, to, header, chunks, signal),
      close: async () => {
        this.#handlers.delete(self);
      },
    };
  }

  /** Nodes of different groups cannot reach each other. */
  partition(...groups: readonly (readonly RaftId[])[]): void {
    this.heal();
    for (const group of groups) {
      for (const other of groups) {
        if (group === other) continue;
        for (const from of group) for (const to of other) this.#cut.add(`${from}>${to}`);
      }
    }
  }

  heal(): void {
    this.#cut.clear();
  }

  #send(from: RaftId, to: RaftId, messages: readonly PeerMessage[]): void {
    for (const message of messages) {
      if (!this.filter(from, to, message)) continue;
      if (this.#options.random.float() < (this.#options.lossRatio ?? 0)) continue;
      const bytes = encodePeerMessage(message);
      this.#options.clock.after(this.#options.random.float() * this.#options.delayMsMax, () => {
        if (!this.#reaches(from, to)) return;
        const handler = this.#handlers.get(to);
        if (handler !== undefined) handler.receive(from, [decodePeerMessage(bytes)]);
        // As a connection that is refused: the host is there, the process is not.
        else this.#handlers.get(from)?.unreachable(to);
      });
    }
  }

  async #sendSnapshot(from: RaftId, to: RaftId, header: Uint8Array, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const handler = this.#handlers.get(to);
    if (handler === undefined || !this.#reaches(from, to)) throw new Error(`${to} cannot be reached from ${from}`);
    const network = this;
    async function* passed(): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        if (!network.#reaches(from, to)) throw new Error(`the stream from ${from} to ${to} broke`);
        yield new Uint8Array(chunk);
      }
    }
    await handler.receiveSnapshot(from, header, passed());
  }

  #reaches(from: RaftId, to: RaftId): boolean {
    return !this.#cut.has(`${from}>${to}`) && this.#handlers.has(from);
  }
}
