import type { Stream, StreamMessageEvent } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import { decode } from "../../core/codec.ts";
import type { Log } from "../../core/log.ts";
import type { PeerId, RaftId } from "../../core/peer.ts";
import { ConsensusError } from "../errors.ts";
import type { Boot, PeerMessage, Transport, TransportHandler } from "../transport.ts";
import { freshCounters, type TransportCounters } from "./counters.ts";
import { FrameCutter, FrameStream, frame, piecesOf } from "./frames.ts";
import { clusterHash, decodeRefusal, encodeHello } from "./hello.ts";
import { Inbound } from "./inbound.ts";
import { CHUNK_BYTES_MAX, takeSnapshotStream } from "./inbound-snapshot.ts";
import { PeerLink } from "./peer-link.ts";

export const RAFT_PROTOCOL = "/roadstead/raft/1.0.0";
export const SNAPSHOT_PROTOCOL = "/roadstead/snapshot/1.0.0";

/** What is needed of the libp2p node; the exchange's host has it, and refuses whoever is no member (G7). */
export interface PeerHost {
  /** @throws where the peer cannot be reached */
  dial(peer: PeerId, protocol: string, signal: AbortSignal): Promise<Stream>;
  handle(protocol: string, handler: (stream: Stream, from: PeerId) => Promise<void>): Promise<void>;
  /** The connection that the next `dial` would use again. */
  connection?(peer: PeerId): { abort(error: Error): void } | undefined;
}

export interface Libp2pTransportOptions {
  readonly host: PeerHost;
  readonly clusterId: string;
  readonly self: RaftId;
  /** By the committed membership. */
  readonly peerOf: (raftId: RaftId) => PeerId | undefined;
  readonly raftIdOf: (peer: PeerId) => RaftId | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly frameBytes?: number;
}

const REFUSAL_BYTES_MAX = 256;
/** Raft answers almost everything that is said. Where nothing comes for so long, the connection is dead, and TCP alone would find out in minutes. */
const SILENCE_MS = 5_000;
/** A stream that takes nothing for so long is dead too, though the peer be heard: a slow one takes a window of some 100 KiB in that time. */
const BLOCKED_MS = 20_000;
const CHECK_MS = 1_000;

export class Libp2pTransport implements Transport {
  readonly #options: Libp2pTransportOptions;
  readonly #links = new Map<RaftId, PeerLink>();
  readonly #inbound = new Map<RaftId, Inbound>();
  /** The nonce of the start that each peer has spoken as last. */
  readonly #starts = new Map<RaftId, string>();
  readonly #cluster: string;
  readonly counters: TransportCounters = freshCounters();
  #started: { readonly handler: TransportHandler; readonly boot: Boot } | undefined;
  #stopChecks: (() => void) | undefined;

  constructor(options: Libp2pTransportOptions) {
    this.#options = options;
    this.#cluster = clusterHash(options.clusterId);
  }

  async start(handler: TransportHandler, boot: Boot): Promise<void> {
    this.#started = { handler, boot };
    await this.#options.host.handle(RAFT_PROTOCOL, async (stream, from) => this.#accept(stream, from));
    await this.#options.host.handle(SNAPSHOT_PROTOCOL, (stream, from) => this.#acceptSnapshot(stream, from));
    this.#stopChecks = this.#options.clock.every(CHECK_MS, () => this.#check());
  }

  send(to: RaftId, messages: readonly PeerMessage[]): void {
    this.#link(to)?.send(messages);
  }

  async sendSnapshot(to: RaftId, header: Uint8Array, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Uint8Array> {
    const peer = this.#options.peerOf(to);
    const boot = this.#started?.boot;
    if (peer === undefined || boot === undefined) throw new ConsensusError("transfer", `No member has the number ${to}.`, { to });
    const stream = new FrameStream(await this.#options.host.dial(peer, SNAPSHOT_PROTOCOL, signal), CHUNK_BYTES_MAX);
    const onAbort = (): void => stream.abort(new ConsensusError("transfer", "The node is stopping."));
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const answer = stream.read();
      // Looked at below; a refusal in the middle also breaks the writes.
      answer.catch(() => undefined);
      await stream.write(this.#hello(to, boot));
      await stream.write(header);
      let refused = false;
      answer.then(
        () => {
          refused = true;
        },
        () => {
          refused = true;
        },
      );
      for await (const chunk of chunks) {
        if (refused) break;
        await stream.write(chunk);
      }
      if (!refused) await stream.write(new Uint8Array(0));
      const bytes = await answer;
      const verdict = bytes === undefined ? "the stream ended without an answer" : verdictOf(bytes);
      if (!(verdict instanceof Uint8Array)) {
        const reason = String(verdict).replace(/\.$/, "");
        throw new ConsensusError(Array.isArray(verdict) ? "outdated" : "transfer", `The snapshot was not installed: ${reason}.`, { to });
      }
      await stream.close();
      return new Uint8Array(verdict);
    } catch (error) {
      if (error instanceof ConsensusError && error.code === "malformed") this.counters.malformed += 1;
      stream.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async close(): Promise<void> {
    this.#started = undefined;
    this.#stopChecks?.();
    for (const link of this.#links.values()) link.close();
    for (const inbound of this.#inbound.values()) inbound.abort("the node is stopping");
    this.#links.clear();
    this.#inbound.clear();
  }

  #link(to: RaftId): PeerLink | undefined {
    const known = this.#links.get(to);
    if (known !== undefined || this.#started === undefined) return known;
    const { handler, boot } = this.#started;
    const { host, peerOf, clock } = this.#options;
    if (peerOf(to) === undefined) {
      handler.unreachable(to);
      return undefined;
    }
    const hello = frame(this.#hello(to, boot));
    const link = new PeerLink({
      clock,
      frameBytes: this.#options.frameBytes,
      dial: (signal) => {
        const peer = peerOf(to);
        if (peer === undefined) return Promise.reject(new Error(`${to} is no member any more`));
        return host.dial(peer, RAFT_PROTOCOL, signal);
      },
      opened: (stream) => {
        const cutter = new FrameCutter(REFUSAL_BYTES_MAX);
        stream.addEventListener("message", (event) => this.#onAnswer(to, cutter, event));
        stream.send(hello);
      },
      lost: (messages) => {
        this.counters.dropped += messages;
        this.#started?.handler.unreachable(to);
      },
    });
    this.#links.set(to, link);
    return link;
  }

  #accept(stream: Stream, peer: PeerId): void {
    const from = this.#options.raftIdOf(peer);
    const started = this.#started;
    if (from === undefined || started === undefined) {
      this.#refuseStranger(stream, from);
      return;
    }
    const { clock, log } = this.#options;
    const inbound: Inbound = new Inbound({
      stream,
      from,
      self: this.#options.self,
      cluster: this.#cluster,
      handler: started.handler,
      counters: this.counters,
      clock,
      log,
      accepted: ({ nonce }) => {
        if ((this.#starts.get(from) ?? nonce) !== nonce) this.#links.get(from)?.startedAnew();
        this.#starts.set(from, nonce);
        // A peer has one stream: a second one says that the first is dead.
        this.#inbound.get(from)?.abort("the peer opened another stream");
        this.#inbound.set(from, inbound);
      },
      heard: () => this.#links.get(from)?.alive(),
    });
    stream.addEventListener("close", () => {
      if (this.#inbound.get(from) === inbound) this.#inbound.delete(from);
    });
  }

  #refuseStranger(stream: Stream, from: RaftId | undefined): void {
    if (from === undefined) this.counters.strangers += 1;
    stream.abort(new Error("only members of the cluster may speak this protocol"));
  }

  #hello(to: RaftId, boot: Boot): Uint8Array {
    return encodeHello({ cluster: this.#cluster, from: this.#options.self, to, boot });
  }

  /** Of a stream that this node has opened. */
  #onAnswer(from: RaftId, cutter: FrameCutter, event: StreamMessageEvent): void {
    try {
      for (const piece of piecesOf(event)) {
        for (const body of cutter.push(piece)) this.#started?.handler.refused(from, decodeRefusal(body));
      }
    } catch (error) {
      this.counters.malformed += 1;
      this.#links.get(from)?.reset(String(error));
    }
  }

  async #acceptSnapshot(stream: Stream, peer: PeerId): Promise<void> {
    const from = this.#options.raftIdOf(peer);
    const handler = this.#started?.handler;
    if (from === undefined || handler === undefined) {
      this.#refuseStranger(stream, from);
      return;
    }
    const { self, clock, log } = this.#options;
    await takeSnapshotStream({ stream, from, self, cluster: this.#cluster, handler, counters: this.counters, clock, log });
  }

  #check(): void {
    const now = this.#options.clock.monotonicMs();
    for (const [to, link] of this.#links) {
      const peer = this.#options.peerOf(to);
      if (peer === undefined) {
        link.close();
        this.#links.delete(to);
        continue;
      }
      const isSilent = now - (link.unansweredSince ?? now) > SILENCE_MS;
      if (!isSilent && now - (link.blockedSince ?? now) <= BLOCKED_MS) continue;
      const reason = `the peer ${isSilent ? "has been silent" : "has taken nothing"} for too long`;
      this.#options.log.warn({ to }, `${reason}; its connection is given up`);
      link.reset(reason);
      this.#options.host.connection?.(peer)?.abort(new Error(reason));
    }
  }
}

function verdictOf(answer: Uint8Array): unknown {
  try {
    return decode(answer);
  } catch (error) {
    throw new ConsensusError("malformed", "The answer to a snapshot is none.", {}, error);
  }
}
