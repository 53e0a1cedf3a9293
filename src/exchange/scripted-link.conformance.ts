import { OciError } from "../core/errors.ts";
import type { PeerId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { PeerLink, PieceReply, PieceRequest } from "./link.ts";
import { type ManualClock, settle } from "./manual-clock.conformance.ts";

interface Ask extends PieceRequest {
  readonly peer: PeerId;
  readonly aborted: () => boolean;
  readonly progress: (sizeBytes: number) => void;
  answer(): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** A wire on which nothing happens until the test says so. */
export class ScriptedLink implements PeerLink {
  readonly self = "self" as PeerId;
  readonly asks: Ask[] = [];
  /** Answers by itself, after so many ms of the test's clock. */
  readonly delayMs = new Map<PeerId, number>();
  readonly #clock: ManualClock;
  readonly #bytes: Uint8Array;
  readonly #pieces: readonly PieceHash[];

  constructor(clock: ManualClock, bytes: Uint8Array, pieces: readonly PieceHash[]) {
    this.#clock = clock;
    this.#bytes = bytes;
    this.#pieces = pieces;
  }

  connected = true;
  /** Fail at once. */
  readonly dead = new Set<PeerId>();

  isConnected(): boolean {
    return this.connected;
  }

  get(peer: PeerId, request: PieceRequest, onProgress: (sizeBytes: number) => void, signal: AbortSignal): Promise<PieceReply> {
    const { promise, resolve, reject } = Promise.withResolvers<PieceReply>();
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    if (this.dead.has(peer)) reject(new OciError("UNAVAILABLE", "gone"));
    const bytes = this.#bytes.slice(request.range.start, request.range.end);
    const answer = async (): Promise<void> => {
      resolve({ sizeBytes: this.#bytes.byteLength, pieces: request.list ? this.#pieces : undefined, bytes });
      await settle();
    };
    const fail = async (error: Error): Promise<void> => {
      reject(error);
      await settle();
    };
    this.asks.push({ ...request, peer, progress: onProgress, aborted: () => signal.aborted, answer, fail });
    const delayMs = this.delayMs.get(peer);
    if (delayMs !== undefined) this.#clock.after(delayMs, () => void answer());
    return promise;
  }

  peers(): readonly PeerId[] {
    return this.asks.map(({ peer }) => peer);
  }
}
