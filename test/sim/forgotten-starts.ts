import type { Transport } from "../../src/consensus/transport.ts";
import { ViolationError, type World } from "./world.ts";

export interface WatchOptions {
  readonly self: number;
  /** Whether this process may be held to what its disk knew: it has not ended, and nothing was done to the disk. */
  readonly sound: () => boolean;
}

/** Starts from disks that were put back: who knows of a start that such a disk does not remember may take nothing of it. */
export class ForgottenStarts {
  readonly #world: World;
  /** By the node whose disk it is: those who know. */
  readonly #knowing = new Map<number, ReadonlySet<number>>();
  /** Their nonces, and whose they are. */
  readonly #starts = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** From now on the disk of the node has forgotten what these others know. */
  forgets(node: number, knowing: Iterable<number>): void {
    this.#knowing.set(node, new Set(knowing));
  }

  /** The transport of a process, with an eye on what it takes. */
  watch(inner: Transport, { self, sound }: WatchOptions): Transport {
    const taken = (nonce: string): void => {
      const of = this.#starts.get(nonce);
      if (of === undefined || !sound() || this.#knowing.get(of)?.has(self) !== true) return;
      this.#world.fail(new ViolationError("nothing is taken of a disk that was put back", `node ${self} has taken a word of node ${of}`));
    };
    return {
      start: (handler, own) => {
        if (this.#knowing.has(self)) this.#starts.set(own.nonce, self);
        return inner.start(
          {
            receive: (from, boot, messages) => {
              const refusal = handler.receive(from, boot, messages);
              if (refusal === undefined) taken(boot.nonce);
              return refusal;
            },
            receiveSnapshot: (from, boot, header, chunks) => handler.receiveSnapshot(from, boot, header, chunks),
            refused: (by, refusal) => handler.refused(by, refusal),
            unreachable: (to) => handler.unreachable(to),
          },
          own,
        );
      },
      send: (to, messages) => inner.send(to, messages),
      sendSnapshot: (to, header, chunks, signal) => inner.sendSnapshot(to, header, chunks, signal),
      close: () => inner.close(),
    };
  }
}
