import type { Stream } from "@libp2p/interface";
import type { Clock } from "../../core/clock.ts";
import { isAbortError } from "../../core/errors.ts";
import type { PeerId } from "../../core/peer.ts";
import type { LocalBlobs, Wanted } from "../exchange.ts";
import { hashAsItComes, type RunningHash, type StartHash } from "../hashing.ts";
import type { PeerLink, PieceReply, PieceRequest } from "../link.ts";
import type { PeerTable } from "../peer-table.ts";
import { Channel, ChannelEnded } from "./channel.ts";
import { ANSWER_SIZE_MAX, asFields, BLOB_PROTOCOL, bytesOf, count, throwIfError, unpackList } from "./wire.ts";

/** What the client needs of the host. */
export interface BlobDialer {
  readonly self: PeerId;
  dial(peer: PeerId, protocol: string, signal: AbortSignal): Promise<Stream>;
  connection(peer: PeerId): unknown;
}

/** A stream costs a negotiation of one round trip: it is kept for the next piece, for so long and so many a peer. */
const IDLE_MS = 10_000;
const IDLE_PER_PEER_MAX = 8;

export interface PutSource {
  readonly blobs: LocalBlobs;
  readonly stallMs: number;
}

interface IdleChannel {
  readonly channel: Channel;
  readonly cancel: () => void;
}

/** The asking side of the blob protocol. */
export class BlobClient implements PeerLink {
  readonly self: PeerId;
  readonly #dialer: BlobDialer;
  readonly #clock: Clock;
  readonly #peers: PeerTable;
  readonly #idle = new Map<PeerId, IdleChannel[]>();
  readonly #startHash: StartHash;
  #closed = false;

  constructor(dialer: BlobDialer, clock: Clock, peers: PeerTable, startHash: StartHash) {
    this.self = dialer.self;
    this.#dialer = dialer;
    this.#clock = clock;
    this.#peers = peers;
    this.#startHash = startHash;
  }

  isConnected(peer: PeerId): boolean {
    return this.#dialer.connection(peer) !== undefined;
  }

  async get(peer: PeerId, request: PieceRequest, onProgress: (sizeBytes: number) => void, signal: AbortSignal): Promise<PieceReply> {
    signal.throwIfAborted();
    const kept = this.#take(peer);
    if (kept !== undefined) {
      try {
        return await this.#getOver(kept, peer, request, onProgress, signal);
      } catch (error) {
        // a kept stream may have died while nobody looked: that says nothing about the peer
        if (!(error instanceof ChannelEnded) && !isStreamError(error)) throw error;
        signal.throwIfAborted();
      }
    }
    const channel = new Channel(await this.#dialer.dial(peer, BLOB_PROTOCOL, signal));
    return this.#getOver(channel, peer, request, onProgress, signal);
  }

  /** @returns whether the target has acknowledged: it holds the bytes, verified, fsynced and pinned */
  async put(peer: PeerId, wanted: Wanted, commitId: string, source: PutSource, signal: AbortSignal): Promise<boolean> {
    const channel = new Channel(await this.#dialer.dial(peer, BLOB_PROTOCOL, signal));
    const unbind = channel.abortOn(signal);
    const endWatch = this.#watchStall(channel, source.stallMs);
    try {
      const { digest, sizeBytes, root } = wanted;
      await channel.writeFrame({ op: "put", digest, sizeBytes, root, commitId });
      let answer = await answerOf(channel);
      if (answer.state === "need") answer = await this.#sendBody(channel, wanted, source.blobs, signal);
      await channel.end(this.#clock);
      return answer.state === "kept" && (root === undefined || answer.root === root);
    } catch (error) {
      channel.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      this.#peers.sent(peer, channel.sentBytes);
      endWatch();
      unbind();
    }
  }

  /** A target that takes no byte and says nothing for so long is given up. */
  #watchStall(channel: Channel, stallMs: number): () => void {
    let seen = -1;
    return this.#clock.every(stallMs, () => {
      const now = channel.sentBytes + channel.receivedBytes;
      if (now === seen) channel.abort(new ChannelEnded("the peer took nothing and said nothing for too long"));
      seen = now;
    });
  }

  close(): void {
    this.#closed = true;
    for (const idle of this.#idle.values()) for (const { channel, cancel } of idle) this.#drop(channel, cancel);
    this.#idle.clear();
  }

  async #sendBody(channel: Channel, wanted: Wanted, blobs: LocalBlobs, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
    let answered = false;
    const answer = answerOf(channel).finally(() => {
      answered = true;
    });
    answer.catch(() => {}); // awaited below; the pump may throw first
    for await (const chunk of blobs.open(wanted.digest, { start: 0, end: wanted.sizeBytes }, signal)) {
      if (answered) break; // a target that refuses says so before it has everything
      await channel.write(chunk);
    }
    return answer;
  }

  async #getOver(
    channel: Channel,
    peer: PeerId,
    request: PieceRequest,
    onProgress: (sizeBytes: number) => void,
    signal: AbortSignal,
  ): Promise<PieceReply> {
    const unbind = channel.abortOn(signal);
    const before = channel.receivedBytes;
    let hash: RunningHash | undefined;
    try {
      const { digest, range, list, memory = Buffer.allocUnsafeSlow } = request;
      await channel.writeFrame({ op: "get", digest, start: range.start, end: range.end, list });
      const answer = asFields((await channel.readFrame(ANSWER_SIZE_MAX)) ?? ended());
      if (answer.error !== undefined) return this.#refused(channel, peer, answer);
      const sizeBytes = count(answer, "length");
      if (answer.load !== undefined) this.#peers.sawLoad(peer, count(answer, "load"));
      if (sizeBytes > range.end - range.start) throw new Error("the peer sends more than was asked for");
      onProgress(0);
      const bytes = memory(sizeBytes);
      const running = hashAsItComes(bytes, this.#startHash);
      hash = running;
      const endWatch = channel.watchReceived(onProgress);
      await channel.readInto(bytes, (block) => running.update(block)).finally(endWatch);
      const pieces = answer.list === undefined ? undefined : unpackList(bytesOf(answer, "list"));
      this.#keep(peer, channel);
      return { sizeBytes: count(answer, "sizeBytes"), pieces, bytes, hash: running.digest() };
    } catch (error) {
      hash?.end();
      if (!this.#isKept(peer, channel)) channel.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      this.#peers.received(peer, channel.receivedBytes - before);
      unbind();
    }
  }

  /** The stream is good, the answer is no. */
  #refused(channel: Channel, peer: PeerId, answer: Readonly<Record<string, unknown>>): never {
    this.#keep(peer, channel);
    throwIfError(answer);
    throw new Error("the peer sent an error that is none");
  }

  #take(peer: PeerId): Channel | undefined {
    const idle = this.#idle.get(peer);
    for (let kept = idle?.pop(); kept !== undefined; kept = idle?.pop()) {
      kept.cancel();
      if (kept.channel.idle) return kept.channel;
      kept.channel.abort(new ChannelEnded("the stream is used no more"));
    }
    return undefined;
  }

  #isKept(peer: PeerId, channel: Channel): boolean {
    return this.#idle.get(peer)?.some((kept) => kept.channel === channel) ?? false;
  }

  #keep(peer: PeerId, channel: Channel): void {
    const list = this.#idle.get(peer) ?? [];
    this.#idle.set(peer, list);
    if (this.#closed || !channel.idle || list.length >= IDLE_PER_PEER_MAX) {
      this.#drop(channel, () => {});
      return;
    }
    const cancel = this.#clock.after(IDLE_MS, () => {
      const at = list.findIndex((kept) => kept.channel === channel);
      if (at >= 0) list.splice(at, 1);
      this.#drop(channel, () => {});
    });
    list.push({ channel, cancel });
  }

  #drop(channel: Channel, cancel: () => void): void {
    cancel();
    void channel.end(this.#clock);
  }
}

async function answerOf(channel: Channel): Promise<Readonly<Record<string, unknown>>> {
  const answer = asFields((await channel.readFrame(ANSWER_SIZE_MAX)) ?? ended());
  throwIfError(answer);
  return answer;
}

function ended(): never {
  throw new ChannelEnded("the peer closed the stream without an answer");
}

function isStreamError(error: unknown): boolean {
  return error instanceof Error && !isAbortError(error) && error.name.startsWith("Stream");
}
