import type { Clock } from "../core/clock.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { Boot, PeerMessage, Transport, TransportHandler } from "./transport.ts";
import { decodePeerMessage, encodePeerMessage } from "./wire.ts";

export interface NetworkOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Uniform between 0 and this. */
  readonly delayMsMax: number;
  readonly lossRatio?: number;
}

interface Node {
  readonly self: RaftId;
  readonly handler: TransportHandler;
  readonly boot: Boot;
}

/** A network in one process, for tests and simulations. Messages pass through the wire format. */
export class MemoryNetwork {
  readonly #options: NetworkOptions;
  readonly #nodes = new Map<RaftId, Node>();
  /** Which pairs cannot reach each other, by `from>to`. */
  readonly #cut = new Set<string>();
  /** Sees each message before it is sent; false drops it. */
  filter: (from: RaftId, to: RaftId, message: PeerMessage) => boolean = () => true;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  /** Where two are started for one number, as of a folder that was copied, the later one is spoken to, and both speak. */
  transport(self: RaftId): Transport {
    let node: Node | undefined;
    return {
      start: async (handler, boot) => {
        node = { self, handler, boot };
        this.#nodes.set(self, node);
      },
      send: (to, messages) => {
        if (node !== undefined) this.#send(node, to, messages);
      },
      sendSnapshot: async (to, header, chunks, signal) => {
        if (node === undefined) throw new Error(`${self} has not started`);
        return await this.#sendSnapshot(node, to, header, chunks, signal);
      },
      close: async () => {
        if (this.#nodes.get(self) === node) this.#nodes.delete(self);
        node = undefined;
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

  #send({ self: from, handler: sender, boot }: Node, to: RaftId, messages: readonly PeerMessage[]): void {
    for (const message of messages) {
      if (!this.filter(from, to, message)) continue;
      if (this.#options.random.float() < (this.#options.lossRatio ?? 0)) continue;
      const bytes = encodePeerMessage(message);
      this.#options.clock.after(this.#options.random.float() * this.#options.delayMsMax, () => {
        if (!this.#reaches(from, to)) return;
        const handler = this.#nodes.get(to)?.handler;
        // As a connection that is refused: the host is there, the process is not.
        if (handler === undefined) return sender.unreachable(to);
        const refusal = handler.receive(from, boot, [decodePeerMessage(bytes)]);
        if (refusal !== undefined) sender.refused(to, refusal);
      });
    }
  }

  async #sendSnapshot(
    { self: from, boot }: Node,
    to: RaftId,
    header: Uint8Array,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const handler = this.#nodes.get(to)?.handler;
    if (handler === undefined || !this.#reaches(from, to)) throw new Error(`${to} cannot be reached from ${from}`);
    const network = this;
    async function* passed(): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        signal.throwIfAborted();
        if (!network.#reaches(from, to)) throw new Error(`the stream from ${from} to ${to} broke`);
        yield new Uint8Array(chunk);
      }
    }
    const answer = await handler.receiveSnapshot(from, boot, header, passed());
    if (!this.#reaches(from, to)) throw new Error(`the stream from ${from} to ${to} broke`);
    return answer;
  }

  #reaches(from: RaftId, to: RaftId): boolean {
    return !this.#cut.has(`${from}>${to}`) && this.#nodes.has(from);
  }
}
