import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { algorithmOf, type Digest } from "../../core/digest.ts";
import { systemCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { PieceHash } from "../../core/pieces.ts";
import { type Random, systemRandom } from "../../core/random.ts";
import type { BlobFacts, BlobStore, CacheWriter, Expected, Pin, ReadRange } from "../blob-store.ts";
import { CorruptBlobError } from "../corrupt-blob.ts";
import { assertExpected } from "../refusals.ts";
import { oneChunk, openCopy, readBlob } from "./blob-reader.ts";
import { CacheFile } from "./cache-file.ts";
import { Copies } from "./copies.ts";
import { DiskReserve } from "./disk-reserve.ts";
import { storageFailure } from "./failures.ts";
import { diskFileSystem, type FileStat, type FileSystem } from "./file-system.ts";
import { FolderSync } from "./folder-sync.ts";
import type { HashPool } from "./hash-pool.ts";
import { statIfThere, unlinkIfThere } from "./if-there.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { Layout, pinOfName } from "./layout.ts";
import { PinSet } from "./pin-set.ts";
import { rereadCopy } from "./reread.ts";
import { listSettled, Usage } from "./settled.ts";
import { receiveFile } from "./staging.ts";

export interface DiskStoreOptions {
  /** The data folder; `blobs/`, `pending/`, `uploads/`, `staging/` and `quarantine/` are made in it. No other process may use it. */
  readonly root: string;
  readonly worker: HashPool;
  readonly clock: Clock;
  readonly log: Log;
  readonly random?: Random;
  readonly fs?: FileSystem;
  /** A copy proved bad, whoever read it, and will not be served again. */
  readonly onQuarantined?: (digest: Digest, reason: string) => void;
}

/** Reads the pins of earlier runs and clears what was being written; settled blobs are counted in the background. */
export async function openDiskStore(options: DiskStoreOptions): Promise<DiskBlobStore> {
  const store = new DiskBlobStore(options);
  await store.recover();
  return store;
}

export class DiskBlobStore implements BlobStore {
  readonly layout: Layout;
  readonly fs: FileSystem;
  readonly worker: HashPool;
  readonly clock: Clock;
  readonly folders: FolderSync;
  readonly copies: Copies;
  readonly reserve: DiskReserve;
  readonly #log: Log;
  readonly #random: Random;
  readonly #locks = new KeyedLock();
  readonly #pins = new PinSet();
  readonly #onQuarantined: DiskStoreOptions["onQuarantined"];
  readonly #caching = new Set<Digest>();
  readonly #folders = new Set<string>();
  readonly #usage: Usage;

  constructor(options: DiskStoreOptions) {
    this.layout = new Layout(options.root);
    this.fs = options.fs ?? diskFileSystem;
    this.worker = options.worker;
    this.clock = options.clock;
    this.folders = new FolderSync(this.fs);
    this.copies = new Copies(this.fs, this.layout, this.worker);
    this.reserve = new DiskReserve(this.fs, options.root);
    this.#log = options.log;
    this.#onQuarantined = options.onQuarantined;
    this.#random = options.random ?? systemRandom;
    this.#usage = new Usage(this.fs, this.layout);
  }

  /** Resolves when `usage` has counted what was here at the start. */
  get counted(): Promise<void> {
    return this.#usage.counted;
  }

  async recover(): Promise<void> {
    const { blobs, pending, uploads, staging, quarantine } = this.layout;
    try {
      for (const folder of [join(blobs, "sha256"), join(blobs, "sha512"), pending, uploads, staging, quarantine])
        await this.fs.mkdir(folder);
      for (const folder of [join(blobs, ".."), blobs]) await this.fs.syncFolder(folder);
      for (const name of await this.fs.readdir(staging)) await this.fs.unlink(join(staging, name));
      for (const name of await this.fs.readdir(pending)) {
        const pin = pinOfName(name);
        if (pin === undefined) this.#log.warn({ name }, "a file in pending/ is no pin: left alone");
        else this.#pins.add(pin);
      }
    } catch (error) {
      throw storageFailure(error, "opening the data folder");
    }
    this.#usage.start(this.#log);
  }

  async stat(digest: Digest): Promise<{ readonly sizeBytes: number; readonly settled: boolean } | undefined> {
    return this.copies.get(digest) ?? this.#locks.run(digest, () => this.#find(digest));
  }

  /** From the disk, under the lock, so that a drop that runs is not forgotten. */
  async #find(digest: Digest): Promise<{ readonly sizeBytes: number; readonly settled: boolean } | undefined> {
    const known = this.copies.get(digest);
    if (known !== undefined) return known;
    const path = await this.#path(digest);
    if (path === undefined) return undefined;
    const copy = { sizeBytes: path.stat.sizeBytes, settled: path.settled, stamp: undefined, verified: new Set<number>() };
    this.copies.set(digest, copy);
    return copy;
  }

  async #path(digest: Digest): Promise<{ readonly path: string; readonly settled: boolean; readonly stat: FileStat } | undefined> {
    const settled = await statIfThere(this.fs, this.layout.blob(digest));
    if (settled !== undefined) return { path: this.layout.blob(digest), settled: true, stat: settled };
    for (const pin of this.#pins.of(digest)) {
      const path = this.layout.pin(pin);
      const stat = await statIfThere(this.fs, path);
      if (stat !== undefined) return { path, settled: false, stat };
    }
    return undefined;
  }

  async locate(digest: Digest): Promise<{ readonly sizeBytes: number; readonly path: string } | undefined> {
    const copy = await this.stat(digest);
    if (copy === undefined) return undefined;
    if (copy.settled) return { sizeBytes: copy.sizeBytes, path: this.layout.blob(digest) };
    return this.#locks.run(digest, async () => {
      const path = await this.#path(digest);
      return path === undefined ? undefined : { sizeBytes: path.stat.sizeBytes, path: path.path };
    });
  }

  open(digest: Digest, range: ReadRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const bytes = signal.aborted ? undefined : this.copies.small.get(digest);
    if (bytes !== undefined && range.start < Math.min(range.end, bytes.byteLength)) return oneChunk(bytes.subarray(range.start, range.end));
    return readBlob(this, digest, range, signal);
  }

  async pieces(digest: Digest): Promise<readonly PieceHash[] | undefined> {
    const found = await openCopy(this, digest);
    if (found === undefined) return undefined;
    try {
      return await this.copies.pieces(digest, found.file, found.sizeBytes, new AbortController().signal);
    } finally {
      await found.file.close();
    }
  }

  async receive(expected: Expected, commitId: string, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<BlobFacts> {
    const pin = { digest: expected.digest, commitId };
    this.layout.pin(pin); // an id that makes no file name is refused before the bytes come
    const path = this.stagingPath();
    try {
      const facts = await receiveFile(this, path, algorithmOf(expected.digest), expected.sizeBytes, source, signal);
      assertExpected(expected, facts);
      await this.pinFile(path, facts, commitId);
      return facts;
    } catch (error) {
      throw storageFailure(error, "receiving a blob");
    } finally {
      await this.release(path, expected.digest).catch(() => undefined); // cleared at the next start, if not now
    }
  }

  /** Takes one name from bytes that may have others by now: that changes the file's state, but not what is known of its bytes. */
  async release(path: string, digest: Digest): Promise<void> {
    await this.#locks.run(digest, async () => {
      await unlinkIfThere(this.fs, path);
      const left = this.copies.get(digest) === undefined ? undefined : await this.#path(digest);
      if (left !== undefined) this.copies.refresh(digest, left.stat);
    });
  }

  /** A name that nobody else uses, in `staging/`. */
  stagingPath(): string {
    return join(this.layout.staging, Buffer.from(this.#random.bytes(16)).toString("hex"));
  }

  /** Links a durable file, whose facts are known, as a pin. Durable on return. */
  async pinFile(path: string, facts: BlobFacts, commitId: string): Promise<void> {
    const pin = { digest: facts.digest, commitId };
    const target = this.layout.pin(pin);
    await this.#locks.run(pin.digest, async () => {
      await this.#fanOut(pin.digest);
      await this.copies.keepList(facts);
      await this.#linkOver(path, target);
      await this.folders.sync(this.layout.pending);
      const settled = await statIfThere(this.fs, this.layout.blob(pin.digest));
      if (settled === undefined) this.copies.learn(facts, await this.fs.stat(target), { settled: false, isHashed: true });
      else this.copies.refresh(pin.digest, settled);
      this.#pins.add(pin);
    });
  }

  /** A link where none of that name stands, or in the place of another file. True where the name is new. */
  async #linkOver(from: string, to: string): Promise<boolean> {
    try {
      await this.fs.link(from, to);
      return true;
    } catch (error) {
      if (systemCode(error) !== "EEXIST") throw error;
    }
    const [fresh, old] = await Promise.all([this.fs.stat(from), this.fs.stat(to)]);
    if (fresh.ino === old.ino) return false;
    // The bytes just verified take the place of those that were verified long ago.
    const between = this.stagingPath();
    await this.fs.link(from, between);
    await this.fs.rename(between, to);
    return false;
  }

  async pin(digest: Digest, commitId: string): Promise<BlobFacts | undefined> {
    for (let looks = 0; looks < 2; looks += 1) {
      const found = await openCopy(this, digest);
      if (found === undefined) return undefined;
      try {
        const facts = await this.copies.verifyAll(digest, found.file, new AbortController().signal);
        await this.pinFile(found.path, facts, commitId);
        return facts;
      } catch (error) {
        if (systemCode(error) === "ENOENT") continue; // settled meanwhile: it has another name now
        if (!(error instanceof CorruptBlobError)) throw storageFailure(error, "pinning a blob");
        this.#log.error({ digest, piece: error.piece }, "a copy that was to be pinned is damaged: quarantined");
        await this.quarantine(digest, error.message);
        return undefined;
      } finally {
        await found.file.close();
      }
    }
    return undefined;
  }

  pins(): readonly Pin[] {
    return this.#pins.all();
  }

  async settle(pin: Pin, keep: boolean): Promise<void> {
    if (!this.#pins.has(pin)) return;
    try {
      await this.#locks.run(pin.digest, () => this.#settle(pin, keep));
    } catch (error) {
      throw storageFailure(error, "settling a blob");
    }
  }

  async #settle(pin: Pin, keep: boolean): Promise<void> {
    if (!this.#pins.has(pin)) return;
    const path = this.layout.pin(pin);
    if (keep) await this.#publish(pin.digest, path);
    await unlinkIfThere(this.fs, path);
    this.#pins.delete(pin);
    await this.#afterUnlink(pin.digest);
  }

  /** Links a verified, durable file under `blobs/`, durable on return; the digest's lock is held. */
  async #publish(digest: Digest, from: string): Promise<void> {
    await this.#fanOut(digest);
    const target = this.layout.blob(digest);
    const before = this.copies.get(digest);
    await this.#usage.change(digest, async () => {
      if (!(await this.#linkOver(from, target))) return { blobs: 0, sizeBytes: 0 };
      return { blobs: 1, sizeBytes: (await this.fs.stat(target)).sizeBytes };
    });
    await this.folders.sync(this.layout.fanOut(digest));
    const stat = await this.fs.stat(target);
    if (before === undefined) {
      this.copies.set(digest, { sizeBytes: stat.sizeBytes, settled: true, stamp: undefined, verified: new Set<number>() });
    } else before.settled = true;
    this.copies.refresh(digest, stat);
  }

  /** What is known of a copy after one of its names went; with the last one its piece list goes. */
  async #afterUnlink(digest: Digest): Promise<void> {
    const left = await this.#path(digest);
    if (left !== undefined) {
      const copy = this.copies.get(digest);
      if (copy !== undefined) copy.settled = left.settled;
      this.copies.refresh(digest, left.stat);
      return;
    }
    this.copies.forget(digest);
    await unlinkIfThere(this.fs, this.layout.pieceList(digest));
  }

  /** Made once, with its own name durable, before anything is linked into it. */
  async #fanOut(digest: Digest): Promise<void> {
    const folder = this.layout.fanOut(digest);
    if (this.#folders.has(folder)) return;
    await this.fs.mkdir(folder);
    await this.folders.sync(join(folder, ".."));
    this.#folders.add(folder);
  }

  async drop(digest: Digest, mayGo: () => boolean): Promise<boolean> {
    const path = this.layout.blob(digest);
    return this.#locks.run(digest, async () => {
      const stat = await statIfThere(this.fs, path);
      if (stat === undefined || !mayGo()) return false;
      try {
        await this.#usage.change(digest, async () => {
          const isGone = await unlinkIfThere(this.fs, path);
          return isGone ? { blobs: -1, sizeBytes: -stat.sizeBytes } : { blobs: 0, sizeBytes: 0 };
        });
        await this.#afterUnlink(digest);
        await this.folders.sync(this.layout.fanOut(digest));
        return true;
      } catch (error) {
        throw storageFailure(error, "dropping a blob");
      }
    });
  }

  async cacheWriter(expected: Expected): Promise<CacheWriter | undefined> {
    if (this.#caching.has(expected.digest)) return undefined;
    this.#caching.add(expected.digest);
    const end = (): void => {
      this.#caching.delete(expected.digest);
    };
    return CacheFile.create(this, expected, end).catch((error: unknown) => {
      end();
      throw storageFailure(error, "making a cached copy");
    });
  }

  /** Settles a durable file in `staging/` without a pin: a cached copy is in no record. Where it was not hashed here, each piece is when it is first read. */
  async settleFile(path: string, facts: BlobFacts, { isHashed }: { readonly isHashed: boolean }): Promise<void> {
    await this.#locks.run(facts.digest, async () => {
      await this.#fanOut(facts.digest);
      await this.copies.keepList(facts);
      await this.#publish(facts.digest, path);
      this.copies.learn(facts, await this.fs.stat(this.layout.blob(facts.digest)), { settled: true, isHashed });
    });
  }

  async quarantine(digest: Digest, reason: string): Promise<void> {
    await this.#locks.run(digest, async () => {
      const bad = await this.#path(digest);
      this.copies.forget(digest);
      if (bad === undefined) return;
      const target = this.layout.quarantined(digest, `${this.clock.wallMs()}-${Buffer.from(this.#random.bytes(4)).toString("hex")}`);
      try {
        await this.#usage.change(digest, async () => {
          await this.fs.rename(bad.path, target);
          return bad.settled ? { blobs: -1, sizeBytes: -bad.stat.sizeBytes } : { blobs: 0, sizeBytes: 0 };
        });
        await this.#dropBadPins(digest, bad.stat.ino);
        await this.#afterUnlink(digest);
        await this.folders.sync(bad.settled ? this.layout.fanOut(digest) : this.layout.pending);
      } catch (error) {
        throw storageFailure(error, "moving a damaged blob to quarantine");
      }
      this.#log.error({ digest, reason, quarantined: target }, "a damaged copy was moved to quarantine");
      this.#onQuarantined?.(digest, reason);
    });
  }

  /** Pins are names of the same bytes; those of other bytes stay. */
  async #dropBadPins(digest: Digest, ino: bigint): Promise<void> {
    for (const pin of this.#pins.of(digest)) {
      const path = this.layout.pin(pin);
      const stat = await statIfThere(this.fs, path);
      if (stat !== undefined && stat.ino !== ino) continue;
      await unlinkIfThere(this.fs, path);
      this.#pins.delete(pin);
    }
  }

  async quarantined(): Promise<number> {
    return (await this.fs.readdir(this.layout.quarantine)).length;
  }

  reread(digest: Digest, onPiece: (sizeBytes: number) => Promise<void>, signal: AbortSignal): Promise<BlobFacts> {
    return rereadCopy(this, digest, onPiece, signal);
  }

  list(after: string, limit: number): Promise<readonly Digest[]> {
    return listSettled(this.fs, this.layout, after, limit);
  }

  usage(): { readonly blobs: number; readonly sizeBytes: number } {
    return this.#usage.total();
  }
}
