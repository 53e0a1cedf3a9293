import type { Stream, StreamMessageEvent } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { RaftId } from "../../core/peer.ts";
import type { Boot, PeerMessage, TransportHandler } from "../transport.ts";
import { decodeFrame } from "../wire.ts";
import type { TransportCounters } from "./counters.ts";
import { FrameCutter, frame, piecesOf } from "./frames.ts";
import { decodeHello, encodeRefusal, HELLO_BYTES_MAX } from "./hello.ts";

export interface InboundOptions {
  readonly stream: Stream;
  readonly from: RaftId;
  readonly self: RaftId;
  readonly cluster: string;
  readonly handler: TransportHandler;
  readonly counters: TransportCounters;
  readonly clock: Clock;
  readonly log: Log;
  /** The hello was taken: this is the peer's stream from now on. */
  readonly accepted: (boot: Boot) => void;
  readonly heard: () => void;
}

/** One entry of 8 MiB at most, and its message. */
const FRAME_BYTES_MAX = 9 * 2 ** 20;
const HELLO_TIMEOUT_MS = 5_000;

/** What one peer says: a hello, then messages. Whatever else it says ends the stream, and harms nothing but the stream. */
export class Inbound {
  readonly #options: InboundOptions;
  readonly #cutter = new FrameCutter(FRAME_BYTES_MAX, HELLO_BYTES_MAX);
  readonly #cancel: () => void;
  #boot: Boot | undefined;
  #ended = false;

  constructor(options: InboundOptions) {
    const { stream, clock } = options;
    this.#options = options;
    this.#cancel = clock.after(HELLO_TIMEOUT_MS, () => this.#malformed("it said nothing"));
    stream.addEventListener("message", (event) => this.#onMessage(event));
    stream.addEventListener("end", () => this.#onEnd());
    stream.addEventListener("close", () => this.#forget());
  }

  abort(reason: string): void {
    this.#forget();
    this.#options.stream.abort(new Error(reason));
  }

  #onMessage(event: StreamMessageEvent): void {
    if (this.#ended) return;
    const messages: PeerMessage[] = [];
    let malformed: unknown;
    try {
      for (const piece of piecesOf(event)) for (const body of this.#cutter.push(piece)) this.#onFrame(body, messages);
    } catch (error) {
      malformed = error;
    }
    // What came before a bad frame is good.
    if (messages.length > 0) this.#deliver(messages);
    if (malformed !== undefined && !this.#ended) this.#malformed(String(malformed));
  }

  #onFrame(body: Uint8Array, messages: PeerMessage[]): void {
    if (this.#ended) return;
    if (this.#boot === undefined) this.#onHello(body);
    else for (const message of decodeFrame(body)) messages.push(message);
  }

  #onHello(body: Uint8Array): void {
    const { self, from, cluster, counters, log, accepted } = this.#options;
    const hello = decodeHello(body);
    if (hello.cluster !== cluster || hello.from !== from || hello.to !== self) {
      counters.misdirected += 1;
      log.warn({ from, says: hello.from, to: hello.to }, "a stream was meant for another cluster or node; it is closed");
      this.abort("this is another cluster or node");
      return;
    }
    this.#cancel();
    this.#boot = hello.boot;
    this.#deliver([]);
    if (!this.#ended) accepted(hello.boot);
  }

  #deliver(messages: readonly PeerMessage[]): void {
    const { from, stream, handler, counters, log, heard } = this.#options;
    if (this.#boot === undefined || this.#ended) return;
    const refusal = handler.receive(from, this.#boot, messages);
    if (refusal === undefined) {
      heard();
      return;
    }
    counters.outdated += 1;
    log.warn({ from, incarnation: refusal.incarnation, reason: refusal.reason }, "a start of a node that is not its newest is refused");
    this.#forget();
    try {
      stream.send(frame(encodeRefusal(refusal)));
    } catch {
      // It has gone already.
    }
    void stream.close().catch((error) => stream.abort(error instanceof Error ? error : new Error(String(error))));
  }

  #onEnd(): void {
    if (this.#cutter.holds && !this.#ended) this.#malformed("it ended within a frame");
    else void this.#options.stream.close().catch(() => undefined);
  }

  #malformed(reason: string): void {
    const { from, counters, log } = this.#options;
    counters.malformed += 1;
    log.warn({ from, reason }, "a peer sent what is no message; its stream is closed");
    this.abort(reason);
  }

  #forget(): void {
    this.#ended = true;
    this.#cancel();
  }
}
