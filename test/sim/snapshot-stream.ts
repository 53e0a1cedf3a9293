import type { Boot } from "../../src/consensus/transport.ts";
import type { Random } from "../../src/core/random.ts";
import type { Owner } from "./event-heap.ts";
import type { Endpoint } from "./network.ts";
import type { World } from "./world.ts";

export interface SnapshotStreamOptions {
  readonly world: World;
  readonly random: Random;
  readonly from: number;
  readonly to: number;
  /** The start of the sender. */
  readonly boot: Boot;
  readonly sender: Owner;
  readonly delayMs: () => number;
  /** Whether the two can reach each other now. */
  readonly open: () => boolean;
  /** Whether the stream breaks at this piece. */
  readonly breaks: () => boolean;
}

const PIECE_BYTES_MAX = 16_384;
/** A stream over a cut link is given up after so many looks at it. */
const LOOKS_MAX = 10;
const LOOK_MS = 200;

/** A snapshot on its way: in pieces of any size, each of them late, until it is through or broken. */
export class SnapshotStream {
  readonly from: number;
  readonly to: number;
  readonly #options: SnapshotStreamOptions;
  readonly #pieces: (Uint8Array | undefined)[] = [];
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  #wakeSender: (() => void) | undefined;

  constructor(options: SnapshotStreamOptions) {
    this.#options = options;
    this.from = options.from;
    this.to = options.to;
  }

  /** Both ends hear of it. */
  break(): void {
    this.#error ??= new Error(`the stream from ${this.from} to ${this.to} broke`);
    this.#wake?.();
    this.#wakeSender?.();
  }

  /** Resolves with the receiver's answer. @throws where it broke or was refused */
  async run(
    receiver: () => Endpoint | undefined,
    header: Uint8Array,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const onAbort = (): void => this.break();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await this.#transit();
      const handler = receiver()?.handler;
      if (handler === undefined) throw new Error(`${this.to} refuses connections`);
      const answer = handler.receiveSnapshot(this.from, this.#options.boot, new Uint8Array(header), this.#received());
      // Looked at below; a refusal in the middle breaks the stream too.
      answer.catch(() => undefined);
      for await (const chunk of chunks) for (const piece of this.#cut(chunk)) await this.#pass(piece);
      await this.#pass(undefined);
      const bytes = await Promise.race([answer, this.#broken()]);
      await this.#transit();
      return bytes;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  *#cut(chunk: Uint8Array): Iterable<Uint8Array> {
    for (let at = 0; at < chunk.byteLength; ) {
      const size = 1 + Math.floor(this.#options.random.float() * PIECE_BYTES_MAX);
      yield new Uint8Array(chunk.subarray(at, at + size));
      at += size;
    }
  }

  async #pass(piece: Uint8Array | undefined): Promise<void> {
    if (this.#options.breaks()) this.break();
    await this.#transit();
    this.#pieces.push(piece);
    this.#wake?.();
  }

  async #transit(): Promise<void> {
    const { world, sender, delayMs, open } = this.#options;
    for (let look = 0; ; look += 1) {
      if (this.#error !== undefined) throw this.#error;
      const passes = open();
      if (!passes && look >= LOOKS_MAX) this.break();
      await new Promise<void>((resolve) => {
        world.after(passes ? delayMs() : LOOK_MS, "stream", sender, resolve);
      });
      if (passes && this.#error === undefined) return;
    }
  }

  #broken(): Promise<never> {
    return new Promise((_, reject) => {
      this.#wakeSender = () => reject(this.#error);
      if (this.#error !== undefined) reject(this.#error);
    });
  }

  async *#received(): AsyncGenerator<Uint8Array> {
    for (;;) {
      while (this.#pieces.length > 0) {
        const piece = this.#pieces.shift();
        if (piece === undefined) return;
        yield piece;
      }
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
