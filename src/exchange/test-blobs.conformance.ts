import { createMemoryBlobStore, type MemoryBlobStore } from "../blobs/memory.ts";
import type { Digest } from "../core/digest.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { LocalBlobs } from "./exchange.ts";

/** The memory store, with what a test wants to see and to spoil. */
export class TestBlobs implements LocalBlobs {
  readonly store: MemoryBlobStore = createMemoryBlobStore();
  /** Bytes read here for others. */
  servedBytes = 0;
  receivedBlobs = 0;
  tamper: ((chunk: Uint8Array, range: { start: number }) => Uint8Array) | undefined;
  tamperList: ((pieces: readonly PieceHash[]) => readonly PieceHash[]) | undefined;
  readonly #cached = Promise.withResolvers<void>();
  readonly #abandoned = Promise.withResolvers<void>();
  /** Resolves once a cached copy has been settled. */
  readonly cached = this.#cached.promise;
  readonly abandoned = this.#abandoned.promise;

  stat(digest: Digest) {
    return this.store.stat(digest);
  }

  async *open(digest: Digest, range: { start: number; end: number }, signal: AbortSignal): AsyncIterable<Uint8Array> {
    for await (const chunk of this.store.open(digest, range, signal)) {
      this.servedBytes += chunk.byteLength;
      yield this.tamper?.(chunk, range) ?? chunk;
    }
  }

  async pieces(digest: Digest) {
    const pieces = await this.store.pieces(digest);
    return pieces === undefined ? undefined : (this.tamperList?.(pieces) ?? pieces);
  }

  receive: LocalBlobs["receive"] = (...given) => {
    this.receivedBlobs += 1;
    return this.store.receive(...given);
  };

  list(after: string, limit: number) {
    return this.store.list(after, limit);
  }

  pin(digest: Digest, commitId: string) {
    return this.store.pin(digest, commitId);
  }

  async cacheWriter(expected: Parameters<LocalBlobs["cacheWriter"]>[0]) {
    const writer = await this.store.cacheWriter(expected);
    if (writer === undefined) return undefined;
    return {
      write: writer.write,
      read: writer.read,
      finish: (pieces?: readonly PieceHash[]) => writer.finish(pieces).then(this.#cached.resolve),
      abandon: () => writer.abandon().then(this.#abandoned.resolve),
    };
  }

  quarantine(digest: Digest, reason: string) {
    return this.store.quarantine(digest, reason);
  }
}
