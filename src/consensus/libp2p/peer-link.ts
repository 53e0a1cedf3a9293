import type { Stream } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";

export interface PeerLinkOptions {
  readonly clock: Clock;
  readonly dial: (signal: AbortSignal) => Promise<Stream>;
  /** A stream is there: what stands at its head is said first. */
  readonly opened: (stream: Stream) => void;
  /** So many messages were dropped, and what was sent before may be lost. */
  readonly lost: (dropped: number) => void;
}

/** Beyond them what comes is dropped: Raft sends again, and memory stays bounded. */
const QUEUE_BYTES_MAX = 16 * 2 ** 20;
/** While the stream is being opened only little is kept: it is stale soon. */
const DIALLING_BYTES_MAX = 2 * 2 ** 20;
const WRITE_BYTES = 256 * 1024;
const DIAL_TIMEOUT_MS = 3_000;
const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 500;

/** The stream to one peer: opened when there is something to say, opened again when it broke. */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  /** Heartbeats, votes, replies: before what carries entries. */
  #urgent: Uint8Array[] = [];
  #bulk: Uint8Array[] = [];
  #queuedBytes = 0;
  #stream: Stream | undefined;
  #dialling: AbortController | undefined;
  #backoffMs = 0;
  #retryAt = 0;
  #scheduled = false;
  #unansweredSince: number | undefined;
  #closed = false;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
  }

  send(frames: readonly { readonly bytes: Uint8Array; readonly urgent: boolean }[]): void {
    if (this.#closed) return;
    if (this.#stream === undefined && this.#dialling === undefined) {
      if (this.#options.clock.monotonicMs() < this.#retryAt) {
        this.#options.lost(frames.length);
        return;
      }
      this.#dial();
    }
    const limit = this.#stream === undefined ? DIALLING_BYTES_MAX : QUEUE_BYTES_MAX;
    let dropped = 0;
    for (const { bytes, urgent } of frames) {
      if (this.#queuedBytes + bytes.byteLength > limit && this.#queuedBytes > 0) {
        dropped += 1;
        continue;
      }
      (urgent ? this.#urgent : this.#bulk).push(bytes);
      this.#queuedBytes += bytes.byteLength;
    }
    if (dropped > 0) this.#options.lost(dropped);
    this.#unansweredSince ??= this.#options.clock.monotonicMs();
    this.#schedule();
  }

  /** The peer is there: the next thing to say is said at once. */
  alive(): void {
    this.#backoffMs = 0;
    this.#retryAt = 0;
    this.#unansweredSince = undefined;
  }

  /** Since when something was said and nothing has come back; undefined where nothing is owed. */
  get unansweredSince(): number | undefined {
    return this.#stream === undefined ? undefined : this.#unansweredSince;
  }

  /** Gives the stream up; the next message opens another. */
  reset(reason: string): void {
    const stream = this.#stream;
    const dropped = this.#forget();
    stream?.abort(new Error(reason));
    this.#options.lost(dropped);
  }

  close(): void {
    this.#closed = true;
    this.#dialling?.abort();
    const stream = this.#stream;
    this.#forget();
    stream?.abort(new Error("the node is stopping"));
  }

  #dial(): void {
    const controller = new AbortController();
    this.#dialling = controller;
    const cancel = this.#options.clock.after(DIAL_TIMEOUT_MS, () => controller.abort());
    this.#options
      .dial(controller.signal)
      .then((stream) => this.#opened(stream))
      .catch(() => {
        this.#backoffMs = Math.min(BACKOFF_MAX_MS, Math.max(BACKOFF_MIN_MS, this.#backoffMs * 2));
        this.#retryAt = this.#options.clock.monotonicMs() + this.#backoffMs;
        const dropped = this.#drop();
        if (!this.#closed) this.#options.lost(dropped);
      })
      .finally(() => {
        cancel();
        if (this.#dialling === controller) this.#dialling = undefined;
      });
  }

  #opened(stream: Stream): void {
    if (this.#closed) {
      stream.abort(new Error("the node is stopping"));
      return;
    }
    // Refused or broken while it was being opened: no event of it will come any more.
    if (stream.status !== "open") throw new Error(`the stream was ${stream.status} as soon as it was opened`);
    this.#stream = stream;
    this.#backoffMs = 0;
    stream.addEventListener("drain", () => this.#schedule());
    // A refusal is all that is ever said in this direction; an end of it ends the stream.
    stream.addEventListener("remoteCloseWrite", () => void stream.close().catch(() => undefined));
    stream.addEventListener("close", () => {
      if (this.#stream !== stream) return;
      const dropped = this.#forget();
      if (!this.#closed) this.#options.lost(dropped);
    });
    this.#options.opened(stream);
    this.#schedule();
  }

  #forget(): number {
    this.#stream = undefined;
    this.#unansweredSince = undefined;
    return this.#drop();
  }

  #drop(): number {
    const dropped = this.#urgent.length + this.#bulk.length;
    this.#urgent = [];
    this.#bulk = [];
    this.#queuedBytes = 0;
    return dropped;
  }

  /** In a microtask: what one turn of the loop says to a peer goes out in one write. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    try {
      while (this.#queuedBytes > 0 && !stream.writableNeedsDrain && stream.status === "open") {
        const parts = this.#urgent.length > 0 ? takeBytes(this.#urgent, WRITE_BYTES) : takeBytes(this.#bulk, WRITE_BYTES);
        const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
        this.#queuedBytes -= bytes.byteLength;
        stream.send(bytes);
      }
    } catch (error) {
      this.reset(String(error));
    }
  }
}

function takeBytes(queue: Uint8Array[], maxBytes: number): Uint8Array[] {
  let sizeBytes = 0;
  let count = 0;
  for (const bytes of queue) {
    sizeBytes += bytes.byteLength;
    if (count > 0 && sizeBytes > maxBytes) break;
    count += 1;
  }
  return queue.splice(0, count);
}
