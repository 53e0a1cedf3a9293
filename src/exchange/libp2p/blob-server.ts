import type { Clock } from "../../core/clock.ts";
import type { Digest } from "../../core/digest.ts";
import { OciError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import type { LocalBlobs } from "../exchange.ts";
import type { PeerTable } from "../peer-table.ts";
import type { Transfers } from "../transfers.ts";
import { Channel } from "./channel.ts";
import type { Host } from "./host.ts";
import { SendRing } from "./send-ring.ts";
import { BLOB_PROTOCOL, type BlobRequest, packError, packList, parseBlobRequest, REQUEST_SIZE_MAX } from "./wire.ts";

export interface BlobServerOptions {
  readonly host: Host;
  readonly blobs: LocalBlobs;
  readonly peers: PeerTable;
  readonly transfers: Transfers;
  readonly clock: Clock;
  readonly log: Log;
  /** A peer has begun to read a blob here. */
  readonly onServed?: (digest: Digest) => void;
  /** This node's own copy proved bad while it was read for a peer, and was quarantined. */
  readonly onLocalCorrupt?: (digest: Digest) => void;
}

type Get = Extract<BlobRequest, { op: "get" }>;
type Put = Extract<BlobRequest, { op: "put" }>;

/** The answering side of the blob protocol: several requests one after the other on a stream. */
export async function serveBlobs(options: BlobServerOptions): Promise<void> {
  const gets = new RunningGets();
  await options.host.handle(BLOB_PROTOCOL, async (stream, from) => {
    const channel = new Channel(stream);
    const ring = new SendRing();
    const controller = new AbortController();
    channel.onClosed(() => controller.abort(new DOMException("the peer closed the stream", "AbortError")));
    try {
      for (;;) {
        const value = await channel.readFrame(REQUEST_SIZE_MAX);
        if (value === undefined) break;
        const request = parseBlobRequest(value);
        const isLast = await options.transfers.run(async () => {
          if (request.op === "get") return !(await get({ ...options, channel, ring, from, gets }, request, controller.signal));
          await put(options, channel, request, controller.signal);
          await channel.end(options.clock);
          return true;
        });
        if (isLast) break;
      }
      await channel.end(options.clock);
    } catch (error) {
      channel.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      options.peers.sent(from, channel.sentBytes);
      options.peers.received(from, channel.receivedBytes);
    }
  });
}

interface Getting extends BlobServerOptions {
  readonly channel: Channel;
  readonly ring: SendRing;
  readonly from: PeerId;
  readonly gets: RunningGets;
}

/** Pieces on their way, by the peer that they go to. */
class RunningGets {
  readonly #byPeer = new Map<PeerId, number>();

  change(peer: PeerId, by: 1 | -1): void {
    const now = (this.#byPeer.get(peer) ?? 0) + by;
    if (now > 0) this.#byPeer.set(peer, now);
    else this.#byPeer.delete(peer);
  }

  /** What the peer cannot know of: those that go to others. */
  besides(peer: PeerId): number {
    let count = 0;
    for (const [other, gets] of this.#byPeer) if (other !== peer) count += gets;
    return count;
  }
}

/** @returns whether the stream may carry one more request; a read that fails in the middle resets it, so that no wrong byte passes as one that was asked for */
async function get(getting: Getting, request: Get, signal: AbortSignal): Promise<boolean> {
  const { digest, start, list } = request;
  const { blobs, channel, ring, from, gets } = getting;
  let begun = false;
  gets.change(from, 1);
  try {
    getting.transfers.assertOpen();
    const known = await blobs.stat(digest);
    if (known === undefined) throw noCopy(digest);
    const end = Math.min(request.end, known.sizeBytes);
    const chunks = blobs.open(digest, { start, end, memory: ring.take }, signal)[Symbol.asyncIterator]();
    const [pieces, first] = await Promise.all([list ? blobs.pieces(digest) : undefined, end > start ? chunks.next() : undefined]);
    const packed = pieces === undefined ? {} : { list: packList(pieces) };
    begun = true;
    await channel.writeFrame({ sizeBytes: known.sizeBytes, length: Math.max(0, end - start), load: gets.besides(from), ...packed });
    if (start === 0) getting.onServed?.(digest);
    if (first === undefined) return true;
    await sendAll(channel, first, chunks);
    return true;
  } catch (error) {
    if (channel.closed) return false;
    await noteCorrupt(getting, digest, error);
    if (begun) throw error;
    getting.log.debug({ digest, peer: from, error }, "a peer asked for a blob that this node cannot give");
    await channel.writeFrame(packError(error instanceof OciError ? error : noCopy(digest)));
    return true;
  } finally {
    gets.change(from, -1);
  }
}

async function sendAll(channel: Channel, first: IteratorResult<Uint8Array>, chunks: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    for (let next = first; next.done !== true; next = await chunks.next()) await channel.write(next.value);
  } finally {
    await chunks.return?.();
  }
}

async function noteCorrupt(options: BlobServerOptions, digest: Digest, error: unknown): Promise<void> {
  if (!(error instanceof Error) || error.name !== "CorruptBlobError") return;
  options.log.error({ digest, error }, "this node's copy of a blob is damaged: it is quarantined and served no more");
  await options.blobs.quarantine(digest, error.message);
  options.onLocalCorrupt?.(digest);
}

/** The last request of its stream. */
async function put(options: BlobServerOptions, channel: Channel, request: Put, signal: AbortSignal): Promise<void> {
  const { digest, sizeBytes, root, commitId } = request;
  const { blobs, log } = options;
  try {
    options.transfers.assertOpen();
    let facts = await blobs.pin(digest, commitId);
    if (facts === undefined) {
      await channel.writeFrame({ state: "need" });
      facts = await blobs.receive({ digest, sizeBytes, root }, commitId, channel.body(sizeBytes), signal);
    }
    if (root !== undefined && facts.root !== root) {
      log.error(
        { digest, root, found: facts.root },
        "the piece root of a blob differs from that of its sender: one of the two copies is wrong",
      );
      throw new OciError("DIGEST_INVALID", "the piece root differs from the one that was sent", { digest, root, found: facts.root });
    }
    await channel.writeFrame({ state: "kept", sizeBytes: facts.sizeBytes, root: facts.root });
  } catch (error) {
    if (channel.closed) throw error;
    log.warn({ digest, error }, "a blob that a peer sent could not be kept");
    await channel.writeFrame(packError(error));
  }
}

function noCopy(digest: Digest): OciError {
  return new OciError("BLOB_UNKNOWN", "this node holds no good copy of the blob", { digest });
}
