import { PIECE_SIZE_BYTES, type PieceHash, pieceCount, pieceRoot } from "../../core/pieces.ts";
import type { BlobFacts, CacheWriter, Expected } from "../blob-store.ts";
import { assertExpected } from "../refusals.ts";
import type { DiskBlobStore } from "./blob-store.ts";
import { storageFailure } from "./failures.ts";
import type { OpenFile } from "./file-system.ts";
import { scanFile } from "./hash-pool.ts";

/** One write: 1 GB in writes of 4 MiB cost the kernel 1.1 to 1.6 s of processor time, of 1 MiB 0.4 to 0.5 s (ext4). */
const WRITE_SIZE_BYTES = 1024 * 1024;

/** A cached copy while it is fetched: a sparse file in `staging/`, settled at the end. Nothing of it outlives a restart before that. */
export class CacheFile implements CacheWriter {
  readonly #store: DiskBlobStore;
  readonly #expected: Expected;
  readonly #path: string;
  readonly #file: OpenFile;
  readonly #onEnd: () => void;
  readonly #written = new Set<number>();
  readonly #running = new Set<Promise<unknown>>();
  #ended = false;

  private constructor(store: DiskBlobStore, expected: Expected, path: string, file: OpenFile, onEnd: () => void) {
    this.#store = store;
    this.#expected = expected;
    this.#path = path;
    this.#file = file;
    this.#onEnd = onEnd;
  }

  static async create(store: DiskBlobStore, expected: Expected, onEnd: () => void): Promise<CacheFile> {
    const path = store.stagingPath();
    await store.fs.open(path, "wx").then((made) => made.close());
    return new CacheFile(store, expected, path, await store.fs.open(path, "r+"), onEnd);
  }

  /** The descriptor stays open until what runs on it is over. */
  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#ended)
      throw new Error(`the cached copy of ${this.#expected.digest} was finished or abandoned: no piece can be written or read`);
    const running = work();
    const kept: Promise<unknown> = running.catch(() => undefined).finally(() => this.#running.delete(kept));
    this.#running.add(kept);
    return running;
  }

  async write(piece: number, bytes: Uint8Array): Promise<void> {
    const { sizeBytes, digest } = this.#expected;
    const length = Math.min(PIECE_SIZE_BYTES, sizeBytes - piece * PIECE_SIZE_BYTES);
    if (bytes.byteLength !== length) throw new RangeError(`piece ${piece} of ${digest} has ${length} bytes, not ${bytes.byteLength}`);
    await this.#run(async () => {
      await this.#store.reserve.claim(bytes.byteLength);
      for (let start = 0; start < length; start += WRITE_SIZE_BYTES) {
        await this.#file.write(bytes.subarray(start, start + WRITE_SIZE_BYTES), piece * PIECE_SIZE_BYTES + start);
      }
    }).catch((error: unknown) => {
      throw storageFailure(error, "writing a cached copy");
    });
    this.#written.add(piece);
  }

  async read(piece: number): Promise<Uint8Array | undefined> {
    if (this.#ended || !this.#written.has(piece)) return undefined;
    const start = piece * PIECE_SIZE_BYTES;
    const bytes = Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE_BYTES, this.#expected.sizeBytes - start));
    return this.#run(async () => {
      for (let done = 0; done < bytes.byteLength; ) {
        const count = await this.#file.read(bytes.subarray(done), start + done);
        if (count === 0) return undefined;
        done += count;
      }
      return bytes;
    });
  }

  async finish(pieces?: readonly PieceHash[]): Promise<void> {
    const { digest, sizeBytes } = this.#expected;
    try {
      const missing = sizeBytes === 0 ? 0 : pieceCount(sizeBytes) - this.#written.size;
      if (missing > 0) throw new Error(`the cached copy of ${digest} lacks ${missing} pieces: it cannot be finished`);
      const known = factsOfList(this.#expected, pieces);
      const facts = known ?? (await this.#scan());
      await this.#run(() => this.#file.datasync());
      await this.#store.settleFile(this.#path, facts, { isHashed: known === undefined });
    } catch (error) {
      throw storageFailure(error, "finishing a cached copy");
    } finally {
      await this.abandon();
    }
  }

  async #scan(): Promise<BlobFacts> {
    const { digest, sizeBytes } = this.#expected;
    const facts = await this.#run(() => scanFile(this.#store.worker, this.#file.fd, sizeBytes, digest, new AbortController().signal));
    assertExpected(this.#expected, facts);
    return facts;
  }

  async abandon(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await Promise.all(this.#running);
    await this.#file.close().catch(() => undefined);
    await this.#store.release(this.#path, this.#expected.digest).catch(() => undefined); // cleared at the next start, if not now
    this.#onEnd();
  }
}

/** What the list says of the blob, if it is the one that the record names. */
function factsOfList({ digest, sizeBytes, root }: Expected, pieces: readonly PieceHash[] | undefined): BlobFacts | undefined {
  if (root === undefined || pieces?.length !== pieceCount(sizeBytes) || pieceRoot(pieces) !== root) return undefined;
  return { digest, sizeBytes, root, pieces };
}
