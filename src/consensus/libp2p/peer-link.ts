import type { Stream } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import type { PeerMessage } from "../transport.ts";
import { encodeFrame } from "../wire.ts";
import { frame } from "./frames.ts";
import { Outgoing, sizeOf } from "./outgoing.ts";

export interface PeerLinkOptions {
  readonly clock: Clock;
  readonly dial: (signal: AbortSignal) => Promise<Stream>;
  /** A stream is there: what stands at its head is said first. */
  readonly opened: (stream: Stream) => void;
  /** So many messages were dropped, and what was sent before may be lost. */
  readonly lost: (dropped: number) => void;
  /** What one frame holds, about; 256 KiB by default. */
  readonly frameBytes?: number | undefined;
}

/** Beyond them what comes is dropped: Raft sends again, and memory stays bounded. */
const QUEUE_BYTES_MAX = 16 * 2 ** 20;
/** While the stream is being opened only little is kept: it is stale soon. */
const DIALLING_BYTES_MAX = 2 * 2 ** 20;
const FRAME_BYTES = 256 * 1024;
const DIAL_TIMEOUT_MS = 3_000;
const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 500;

/** The stream to one peer: opened when there is something to say, opened again when it broke. */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #queue = new Outgoing();
  #stream: Stream | undefined;
  #dialling: AbortController | undefined;
  #backoffMs = 0;
  #retryAt = 0;
  #scheduled = false;
  #unansweredSince: number | undefined;
  /** Since when the stream takes nothing of what waits. */
  #blockedSince: number | undefined;
  #closed = false;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
  }

  send(messages: readonly PeerMessage[]): void {
    if (this.#closed) return;
    if (this.#stream === undefined && this.#dialling === undefined) {
      if (this.#options.clock.monotonicMs() < this.#retryAt) {
        this.#options.lost(messages.length);
        return;
      }
      this.#dial();
    }
    const limit = this.#stream === undefined ? DIALLING_BYTES_MAX : QUEUE_BYTES_MAX;
    let dropped = 0;
    for (const message of messages) {
      const sizeBytes = sizeOf(message);
      if (this.#queue.sizeBytes + sizeBytes > limit && this.#queue.sizeBytes > 0) dropped += 1;
      else this.#queue.push(message, sizeBytes);
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

  /** The peer speaks as another start than before. A stream to its earlier process leads nowhere, and what the new one says would hide that from the watch for silence. */
  startedAnew(): void {
    if (this.#stream !== undefined) this.reset("the peer has started anew");
  }

  /** Since when the stream has taken nothing, though something waits. The peer may be heard all the while: on a stream of its own, as of a later start. */
  get blockedSince(): number | undefined {
    return this.#stream === undefined ? undefined : this.#blockedSince;
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
        const dropped = this.#queue.clear();
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
    stream.addEventListener("drain", () => {
      this.#blockedSince = undefined;
      this.#schedule();
    });
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
    this.#blockedSince = undefined;
    return this.#queue.clear();
  }

  /** In a microtask: what one turn of the loop says to a peer goes out in one frame. */
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
      while (this.#queue.sizeBytes > 0 && !stream.writableNeedsDrain && stream.status === "open") {
        stream.send(frame(encodeFrame(this.#queue.take(this.#options.frameBytes ?? FRAME_BYTES))));
      }
      if (this.#queue.sizeBytes > 0) this.#blockedSince ??= this.#options.clock.monotonicMs();
    } catch (error) {
      this.reset(String(error));
    }
  }
}
