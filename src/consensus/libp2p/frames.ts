import type { Stream, StreamCloseEvent, StreamMessageEvent } from "@libp2p/interface";
import { ConsensusError } from "../errors.ts";

/** A frame: its length in 4 bytes, big-endian, then that many bytes. */
export const PREFIX_BYTES = 4;

export function frame(body: Uint8Array): Uint8Array {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + body.byteLength);
  framed.writeUInt32BE(body.byteLength, 0);
  framed.set(body, PREFIX_BYTES);
  return framed;
}

/** Cuts what a stream delivers back into frames, wherever the pieces were cut. */
export class FrameCutter {
  readonly #maxBytes: number;
  /** What the next frame may have. */
  #allowedBytes: number;
  #parts: Uint8Array[] = [];
  #heldBytes = 0;

  /** @param firstMaxBytes what the first frame may have: before it nobody knows who speaks */
  constructor(maxBytes: number, firstMaxBytes: number = maxBytes) {
    this.#maxBytes = maxBytes;
    this.#allowedBytes = firstMaxBytes;
  }

  /** Whether a frame has begun and not ended. */
  get holds(): boolean {
    return this.#heldBytes > 0;
  }

  /**
   * Yields the frames that are whole now; they may share memory with `piece`. To be read to its end.
   * @throws RangeError where a frame is longer than is allowed, after those before it
   */
  *push(piece: Uint8Array): Generator<Uint8Array> {
    this.#parts.push(piece);
    this.#heldBytes += piece.byteLength;
    for (let length = this.#peek(); length !== undefined && this.#heldBytes >= PREFIX_BYTES + length; length = this.#peek()) {
      yield this.#take(PREFIX_BYTES + length).subarray(PREFIX_BYTES);
    }
  }

  #peek(): number | undefined {
    if (this.#heldBytes < PREFIX_BYTES) return undefined;
    const first = this.#parts[0]!;
    // The prefix may lie across pieces: only then are they joined.
    if (first.byteLength < PREFIX_BYTES) this.#parts = [Buffer.concat(this.#parts)];
    const head = this.#parts[0]!;
    const length = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(0);
    if (length > this.#allowedBytes) throw new RangeError(`a frame of ${length} bytes, and ${this.#allowedBytes} are allowed`);
    return length;
  }

  #take(sizeBytes: number): Uint8Array {
    const first = this.#parts[0]!;
    const whole = first.byteLength >= sizeBytes ? first : Buffer.concat(this.#parts);
    const rest = whole === first ? this.#parts.slice(1) : [];
    if (whole.byteLength > sizeBytes) rest.unshift(whole.subarray(sizeBytes));
    this.#parts = rest;
    this.#heldBytes -= sizeBytes;
    this.#allowedBytes = this.#maxBytes;
    return whole.subarray(0, sizeBytes);
  }
}

/** @returns the pieces of a message event */
export function piecesOf(event: StreamMessageEvent): Iterable<Uint8Array> {
  return event.data instanceof Uint8Array ? [event.data] : event.data;
}

/** Bytes held unread before the other end is made to wait. */
const HIGH_BYTES = 2 ** 20;

/** A stream read and written by frames, with backpressure both ways. For what is long and not in a hurry. */
export class FrameStream {
  readonly #stream: Stream;
  readonly #cutter: FrameCutter;
  readonly #frames: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  #error: Error | undefined;
  #resuming = false;
  #wake: (() => void) | undefined;

  constructor(stream: Stream, maxBytes: number, firstMaxBytes: number = maxBytes) {
    this.#stream = stream;
    this.#cutter = new FrameCutter(maxBytes, firstMaxBytes);
    stream.addEventListener("message", this.#onMessage);
    stream.addEventListener("end", this.#onEnd);
    stream.addEventListener("close", this.#onClose);
    stream.addEventListener("drain", this.#onDrain);
    if (stream.status !== "open" || stream.readableEnded) this.#ended = true;
  }

  /** The next frame; undefined once the other end has closed its side. @throws what broke the stream; ConsensusError malformed */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const next = this.#frames.shift();
      if (next !== undefined) {
        this.#queuedBytes -= next.byteLength;
        if (this.#queuedBytes < HIGH_BYTES && this.#stream.readStatus === "paused") this.#resume();
        return next;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return undefined;
      await this.#changed();
    }
  }

  #resume(): void {
    this.#resuming = true;
    this.#stream.resume();
    this.#resuming = false;
    this.#pauseIfFull();
  }

  /** Not from within `resume`: libp2p 3.3 opens the window after it has handed out what it held, whatever a listener has asked for. */
  #pauseIfFull(): void {
    if (!this.#resuming && this.#queuedBytes >= HIGH_BYTES && this.#stream.readStatus === "readable") this.#stream.pause();
  }

  async write(body: Uint8Array): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    if (this.#stream.send(frame(body))) return;
    while (this.#stream.writableNeedsDrain && this.#error === undefined && this.#stream.status === "open") await this.#changed();
    if (this.#error !== undefined) throw this.#error;
  }

  async close(): Promise<void> {
    try {
      await this.#stream.close();
    } catch {
      this.abort(new Error("the stream could not be closed"));
    }
  }

  abort(error: Error): void {
    this.#error ??= error;
    this.#stream.abort(error);
    this.#signal();
  }

  #changed(): Promise<void> {
    return new Promise<void>((resolve) => {
      const before = this.#wake;
      this.#wake = () => {
        before?.();
        resolve();
      };
    });
  }

  #signal(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    try {
      for (const piece of piecesOf(event)) {
        for (const body of this.#cutter.push(piece)) {
          this.#frames.push(body);
          this.#queuedBytes += body.byteLength;
        }
      }
    } catch (error) {
      this.abort(new ConsensusError("malformed", `A peer sent ${error instanceof Error ? error.message : String(error)}.`, {}, error));
    }
    this.#pauseIfFull();
    this.#signal();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#cutter.holds) this.#error ??= new ConsensusError("malformed", "A stream ended within a frame.");
    this.#signal();
  };

  readonly #onDrain = (): void => this.#signal();

  readonly #onClose = (event: StreamCloseEvent): void => {
    this.#ended = true;
    this.#error ??= event.error;
    this.#signal();
  };
}
