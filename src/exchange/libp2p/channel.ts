import type { Stream, StreamCloseEvent, StreamMessageEvent } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import { decode, encode } from "../../core/codec.ts";
import { discard, handOver } from "../../core/spent-bytes.ts";

/** Above this many bytes that nobody has read the other end is stopped, below the second one it goes on. */
const QUEUE_HIGH_BYTES = 1024 * 1024;
const QUEUE_LOW_BYTES = 256 * 1024;
/** One `send`: large enough for TLS records and frames, small enough that a heartbeat beside it is not held up. */
const SEND_SIZE_BYTES = 1024 * 1024;
/** What a reader of a body is given at once. */
const BLOCK_SIZE_BYTES = 256 * 1024;
const PREFIX_SIZE_BYTES = 4;
/** How long the other end may take to close its side once all is said. */
const CLOSE_TIMEOUT_MS = 5_000;

/** The stream ended before all that was promised had come. */
export class ChannelEnded extends Error {
  override readonly name = "ChannelEnded";
}

/**
 * A libp2p stream as we use it: frames of msgpack with a length in front, raw bytes between them, backpressure both ways. A stream is freed only
 * once both ends have closed or one has reset it: every path ends in `end` or `abort`.
 */
export class Channel {
  receivedBytes = 0;
  sentBytes = 0;
  readonly #stream: Stream;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #paused = false;
  #resuming = false;
  #ended = false;
  #closed = false;
  #error: Error | undefined;
  #wakeReader: (() => void) | undefined;
  /** The reader is woken once so much is there: for each record of 16 KiB it would cost more than the copy of its bytes. */
  #wantedBytes = 1;
  #onReceived: ((sizeBytes: number) => void) | undefined;
  #whenClosed: (() => void) | undefined;
  readonly #wakeWriters = new Set<() => void>();

  constructor(stream: Stream) {
    this.#stream = stream;
    stream.addEventListener("message", this.#onMessage);
    stream.addEventListener("end", this.#onEnd);
    stream.addEventListener("drain", this.#onDrain);
    stream.addEventListener("close", this.#onClose);
    this.#ended = stream.readableEnded;
    if (stream.status === "closed") this.#onClosed(undefined);
    if (stream.status === "reset" || stream.status === "aborted") this.#onClosed(new ChannelEnded("the peer reset the stream"));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Runs once the stream is closed at both ends, or reset. */
  onClosed(run: () => void): void {
    if (this.#closed) run();
    else this.#whenClosed = run;
  }

  /** Neither end has closed anything, and nothing waits to be read: fit for one more request. */
  get idle(): boolean {
    return !this.#closed && !this.#ended && this.#queuedBytes === 0 && this.#stream.writeStatus === "writable";
  }

  /** Resets the stream when `signal` aborts; the answer ends that. */
  abortOn(signal: AbortSignal): () => void {
    const onAbort = (): void => this.abort(signal.reason instanceof Error ? signal.reason : new DOMException("aborted", "AbortError"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    return () => signal.removeEventListener("abort", onAbort);
  }

  /** The next bytes, as they came; undefined once the other end has closed its side. */
  async read(): Promise<Uint8Array | undefined> {
    return (await this.#arrived()) ? this.#shift() : undefined;
  }

  /** Whether something is there to be read, once `wantedBytes` are, or all that will ever come; false once the other end has closed its side. */
  async #arrived(wantedBytes = 1): Promise<boolean> {
    for (;;) {
      if (this.#queuedBytes >= wantedBytes) return true;
      const isLast = this.#error !== undefined || this.#ended;
      if (isLast && this.#queue.length > 0) return true;
      if (this.#error !== undefined) throw this.#error;
      if (isLast) return false;
      this.#wantedBytes = wantedBytes;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
      this.#wakeReader = undefined;
    }
  }

  #shift(): Uint8Array | undefined {
    const chunk = this.#queue.shift();
    this.#queuedBytes -= chunk?.byteLength ?? 0;
    if (this.#paused && this.#queuedBytes <= QUEUE_LOW_BYTES) this.#resume();
    return chunk;
  }

  /** Copies what has come, a block at least where the stream does not end, and frees its memory at once. @returns the count; 0 where the other end has closed its side */
  async #readSome(target: Uint8Array): Promise<number> {
    if (!(await this.#arrived(Math.min(target.byteLength, BLOCK_SIZE_BYTES)))) return 0;
    let filled = 0;
    while (filled < target.byteLength) {
      const chunk = this.#shift();
      if (chunk === undefined) break;
      const taken = this.#take(chunk, target.byteLength - filled);
      copyInto(target, filled, taken);
      filled += taken.byteLength;
      if (taken === chunk) discard(handOver(chunk)); // its memory must not wait for a collection
    }
    return filled;
  }

  /**
   * Fills `target`.
   * @param onBlock called with each part of it that is filled, in order
   * @throws ChannelEnded where the other end closes before
   */
  async readInto(target: Uint8Array, onBlock?: (block: Uint8Array) => void): Promise<void> {
    for (let filled = 0; filled < target.byteLength; ) {
      const count = await this.#readSome(filled === 0 ? target : target.subarray(filled));
      if (count === 0) throw new ChannelEnded(`the peer closed after ${filled} of ${target.byteLength} bytes`);
      onBlock?.(target.subarray(filled, filled + count));
      filled += count;
    }
  }

  /** Has `run` called with the number of bytes each time some come, read or not; the answer ends that. */
  watchReceived(run: (sizeBytes: number) => void): () => void {
    this.#onReceived = run;
    return () => {
      this.#onReceived = undefined;
    };
  }

  /**
   * Exactly `sizeBytes` of raw bytes, in blocks that are handed over to whoever reads them. A block is a copy: what comes off the wire comes in records of
   * 16 KiB, and each of them would cost every reader above more than its copy does.
   */
  async *body(sizeBytes: number): AsyncIterable<Uint8Array> {
    for (let left = sizeBytes; left > 0; ) {
      const block = new Uint8Array(Buffer.allocUnsafeSlow(Math.min(left, BLOCK_SIZE_BYTES)).buffer);
      let filled = 0;
      for (let count = -1; count !== 0 && filled < block.byteLength; filled += count) {
        count = await this.#readSome(block.subarray(filled)).catch((error: unknown) => {
          if (filled === 0) throw error;
          return 0; // what came before the stream broke is given first: the next read throws again
        });
      }
      if (filled === 0) throw new ChannelEnded(`the peer closed ${left} bytes before the end`);
      left -= filled;
      yield handOver(filled < block.byteLength ? block.subarray(0, filled) : block);
    }
  }

  /** A body of unknown length, as `writeFramed` sent it. */
  async *framedBody(): AsyncIterable<Uint8Array> {
    for (;;) {
      const sizeBytes = await this.#readPrefix();
      if (sizeBytes === undefined) throw new ChannelEnded("the peer closed in the middle of a body");
      if (sizeBytes === 0) return;
      yield* this.body(sizeBytes);
    }
  }

  /**
   * One msgpack value; undefined where the other end closed instead.
   * @throws Error where it is longer than `limitBytes` or no msgpack
   */
  async readFrame(limitBytes: number): Promise<unknown> {
    const sizeBytes = await this.#readPrefix();
    if (sizeBytes === undefined) return undefined;
    if (sizeBytes > limitBytes) throw new Error(`the peer sent a header of ${sizeBytes} bytes, and ${limitBytes} are allowed`);
    const bytes = new Uint8Array(sizeBytes);
    await this.readInto(bytes);
    return decode(bytes);
  }

  async writeFrame(value: unknown): Promise<void> {
    const payload = encode(value);
    const frame = Buffer.allocUnsafe(PREFIX_SIZE_BYTES + payload.byteLength);
    frame.writeUInt32BE(payload.byteLength, 0);
    frame.set(payload, PREFIX_SIZE_BYTES);
    await this.write(frame);
  }

  /** Resolves once the stream takes more; `bytes` may be reused after the next `write` has resolved. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.byteLength; offset += SEND_SIZE_BYTES) {
      if (this.#closed) throw this.#error ?? new ChannelEnded("the peer closed the stream");
      const part = bytes.subarray(offset, offset + SEND_SIZE_BYTES);
      this.sentBytes += part.byteLength;
      // libp2p's own onDrain answers at once after its first use (its promise is never renewed): we listen ourselves
      if (!this.#stream.send(part)) await this.#drained();
    }
  }

  async writeFramed(chunk: Uint8Array): Promise<void> {
    if (chunk.byteLength === 0) return;
    await this.write(prefixOf(chunk.byteLength));
    await this.write(chunk);
  }

  async endFramed(): Promise<void> {
    await this.write(prefixOf(0));
  }

  /** Closes our side and waits until the other end has closed too, discarding what it still sends; resets the stream where it takes too long. */
  async end(clock: Clock): Promise<void> {
    if (this.#closed) return;
    const cancel = clock.after(CLOSE_TIMEOUT_MS, () => this.abort(new ChannelEnded("the peer did not close its side in time")));
    try {
      await this.#stream.close();
      while (!this.#closed && (await this.read()) !== undefined);
    } catch {
      this.abort(new ChannelEnded("the stream could not be closed"));
    } finally {
      cancel();
    }
  }

  abort(error: Error): void {
    if (this.#closed) return;
    this.#stream.abort(error);
    this.#onClosed(error);
  }

  /** Takes at most `limit` bytes of `chunk`, and puts the others back. */
  #take(chunk: Uint8Array, limit: number): Uint8Array {
    if (chunk.byteLength <= limit) return chunk;
    this.#queue.unshift(chunk.subarray(limit));
    this.#queuedBytes += chunk.byteLength - limit;
    return chunk.subarray(0, limit);
  }

  async #readPrefix(): Promise<number | undefined> {
    const first = await this.read();
    if (first === undefined) return undefined;
    this.#queue.unshift(first);
    this.#queuedBytes += first.byteLength;
    const prefix = Buffer.allocUnsafe(PREFIX_SIZE_BYTES);
    await this.readInto(prefix);
    return prefix.readUInt32BE(0);
  }

  async #drained(): Promise<void> {
    while (this.#stream.writableNeedsDrain) {
      if (this.#closed) throw this.#error ?? new ChannelEnded("the peer closed the stream");
      await new Promise<void>((resolve) => {
        this.#wakeWriters.add(resolve);
      });
    }
  }

  #resume(): void {
    this.#paused = false;
    if (this.#closed && this.#stream.readBufferLength === 0) return;
    this.#resuming = true;
    try {
      this.#stream.resume();
    } catch {
      // closed in the meantime: what it had was delivered
    } finally {
      this.#resuming = false;
    }
    this.#pauseIfFull();
  }

  /**
   * Not from within `resume`: libp2p 3.3 hands out there what it holds and opens the window afterwards, whatever a listener has asked for; the stream
   * would then be paused for us and open for the peer, until libp2p resets it for the bytes that pile up.
   */
  #pauseIfFull(): void {
    if (this.#paused || this.#resuming || this.#queuedBytes <= QUEUE_HIGH_BYTES || this.#stream.readStatus !== "readable") return;
    this.#paused = true;
    this.#stream.pause();
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    const parts = event.data instanceof Uint8Array ? [event.data] : event.data;
    let cameBytes = 0;
    for (const part of parts) {
      this.#queue.push(part);
      cameBytes += part.byteLength;
    }
    this.#queuedBytes += cameBytes;
    this.receivedBytes += cameBytes;
    this.#onReceived?.(cameBytes);
    this.#pauseIfFull();
    if (this.#queuedBytes >= this.#wantedBytes) this.#wakeReader?.();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#wakeReader?.();
  };

  readonly #onDrain = (): void => {
    for (const wake of this.#wakeWriters) wake();
    this.#wakeWriters.clear();
  };

  readonly #onClose = (event: StreamCloseEvent): void => this.#onClosed(event.error);

  #onClosed(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error ??= error;
    if (error === undefined && this.#stream.readBufferLength === 0) this.#ended = true;
    this.#wakeReader?.();
    this.#onDrain();
    this.#whenClosed?.();
  }
}

/** Where memory is shared, `set` takes three times as long as Node's own copy. */
function copyInto(target: Uint8Array, start: number, bytes: Uint8Array): void {
  if (target.buffer instanceof SharedArrayBuffer) Buffer.prototype.copy.call(bytes, target, start);
  else target.set(bytes, start);
}

function prefixOf(sizeBytes: number): Uint8Array {
  const prefix = Buffer.allocUnsafe(PREFIX_SIZE_BYTES);
  prefix.writeUInt32BE(sizeBytes, 0);
  return prefix;
}
