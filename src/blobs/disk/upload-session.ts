import { algorithmOf, type Digest } from "../../core/digest.ts";
import { abortable } from "../abortable.ts";
import type { BlobFacts } from "../blob-store.ts";
import { cutBody } from "../cut-body.ts";
import { factsOf } from "../facts.ts";
import { outOfOrder, wrongDigest, wrongSize } from "../refusals.ts";
import type { CutBody, UploadAppend, UploadBinding, UploadStatus } from "../uploads.ts";
import type { DiskBlobStore } from "./blob-store.ts";
import { type Fed, feedBody } from "./feed.ts";
import type { OpenFile } from "./file-system.ts";
import type { HashJob } from "./hash-job.ts";
import { scanFile } from "./hash-pool.ts";
import { INLINE_SIZE_BYTES } from "./staging.ts";
import { type JournalState, writeLine } from "./upload-journal.ts";

export interface SessionPaths {
  readonly journal: string;
  readonly data: string;
}

/** One upload on the disk. Its methods are called one at a time: `busy` is the caller's to keep. */
export class UploadSession {
  readonly id: string;
  readonly binding: UploadBinding;
  readonly paths: SessionPaths;
  /** Bytes held: durable, but for those of a `last` chunk. */
  offset: number;
  digest: Digest | undefined;
  busy = false;
  usedMs: number;
  /** Aborts the request that is at work, when the session is cancelled. */
  readonly ended = new AbortController();
  readonly #store: DiskBlobStore;
  #durable: number;
  #journalLength: number;
  #hasDurableName: boolean;
  #hasData: boolean;
  /** Its bytes are pinned, by a hard link to the same file: no more may be written to it. */
  #finished: boolean;
  #facts: BlobFacts | undefined;
  #cut: CutBody | undefined;
  #job: HashJob | undefined;
  /** A whole small body that waits for `finish`. */
  #small: Uint8Array | undefined;

  constructor(store: DiskBlobStore, id: string, paths: SessionPaths, state: JournalState, found?: { readonly links: number }) {
    this.#store = store;
    this.id = id;
    this.paths = paths;
    this.binding = state.binding;
    this.offset = state.offset;
    this.#durable = state.offset;
    this.digest = state.digest;
    this.#cut = state.cut;
    this.#journalLength = state.length;
    this.#hasDurableName = found !== undefined;
    this.#hasData = found !== undefined;
    this.#finished = state.digest !== undefined || (found?.links ?? 0) > 1;
    this.usedMs = store.clock.monotonicMs();
  }

  status(): UploadStatus {
    return { ...this.binding, id: this.id, offset: this.offset, finished: this.#finished, digest: this.digest, cut: this.#cut };
  }

  async append(chunk: UploadAppend, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UploadStatus> {
    const start = this.offset;
    if (chunk.offset !== undefined && chunk.offset !== start) throw outOfOrder(start, "the chunk does not start where the last one ended");
    if (this.#finished || this.#small !== undefined) {
      for await (const bytes of abortable(source, signal)) {
        if (bytes.byteLength > 0) throw outOfOrder(start, "the upload was finished: it takes no more bytes");
      }
      return this.status();
    }
    const body = chunk.last === true && start === 0 ? await this.#takeSmall(chunk, source, signal) : source;
    if (body !== undefined) await this.#write(chunk, body, signal);
    return this.status();
  }

  /** Holds a small last body in memory, so that it costs one file and one fsync; answers all bytes again where it is not small or not whole. */
  async #takeSmall(
    chunk: UploadAppend,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    if ((chunk.sizeBytes ?? 0) > INLINE_SIZE_BYTES) return source;
    const held: Uint8Array[] = [];
    let came = 0;
    let failure: unknown;
    const iterator = abortable(source, signal);
    try {
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
        held.push(Uint8Array.from(next.value)); // the source may reuse its buffers
        came += next.value.byteLength;
        if (came > INLINE_SIZE_BYTES) return chain(held, iterator, undefined);
      }
    } catch (error) {
      failure = error;
    }
    if (failure !== undefined || (chunk.sizeBytes !== undefined && came !== chunk.sizeBytes)) return chain(held, undefined, failure);
    this.#small = Buffer.concat(held);
    this.offset = came;
    return undefined;
  }

  async #write(chunk: UploadAppend, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const start = this.offset;
    const limit = chunk.sizeBytes ?? Number.POSITIVE_INFINITY;
    const file = await this.#openData();
    try {
      const job = await this.#jobAt(file, start, signal);
      const fed = await feedBody(this.#store, job, file, source, limit, signal);
      const isWhole = fed.failure === undefined && job.failure === undefined && (chunk.sizeBytes ?? fed.came) === fed.came;
      if (!isWhole) this.#cut = cutBody(chunk, start) ?? this.#cut;
      await this.#keep(file, job, fed.syncFailure, isWhole && chunk.last === true);
      this.#raise(chunk, fed, job);
    } finally {
      await file.close();
    }
  }

  /** Why the body was not whole. What came of it is kept by now. */
  #raise(chunk: UploadAppend, fed: Fed, job: HashJob): void {
    if (job.failure !== undefined) throw job.failure;
    if (fed.failure !== undefined) throw fed.failure;
    if (chunk.sizeBytes !== undefined && fed.came !== chunk.sizeBytes) throw wrongSize(chunk.sizeBytes, fed.came, this.offset);
  }

  async #openData(): Promise<OpenFile> {
    const file = await this.#store.fs.open(this.paths.data, this.#hasData ? "r+" : "w+");
    this.#hasData = true;
    return file;
  }

  /** The running hash; after a restart or a failure it is made anew from the file, up to the durable offset. */
  async #jobAt(file: OpenFile, start: number, signal: AbortSignal): Promise<HashJob> {
    if (this.#job?.position === start && this.#job.failure === undefined) return this.#job;
    this.#dropJob();
    const job = this.#store.worker.job(this.binding.algorithm);
    this.#job = job;
    await job.scan(file.fd, start, signal);
    return job;
  }

  #dropJob(): void {
    this.#job?.end();
    this.#job = undefined;
  }

  /** Makes durable what was written, or goes back to what is durable already: a failed fsync never becomes a success. */
  async #keep(file: OpenFile, job: HashJob, syncFailure: unknown, isLast: boolean): Promise<void> {
    this.offset = job.done;
    if (job.failure !== undefined) this.#dropJob();
    if (isLast && syncFailure === undefined) return;
    try {
      if (syncFailure !== undefined) throw syncFailure;
      if (job.failure !== undefined) await file.truncate(this.offset);
      await this.#makeDurable(file);
    } catch (error) {
      this.#dropJob();
      this.offset = this.#durable;
      await file.truncate(this.#durable).catch(() => undefined); // done again before the session is read
      throw job.failure ?? error;
    }
  }

  async #makeDurable(file: OpenFile): Promise<void> {
    if (this.offset === this.#durable) return;
    await file.datasync();
    await this.#note({ offset: this.offset, cut: this.#cut });
    this.#durable = this.offset;
  }

  /** A line of the journal, with the names of both files, durable on return: the fsyncs run side by side. */
  async #note(line: { readonly offset: number; readonly digest?: Digest; readonly cut?: CutBody | undefined }): Promise<void> {
    const { fs, folders, layout } = this.#store;
    const named = this.#hasDurableName ? undefined : folders.sync(layout.uploads);
    const [written, synced] = await Promise.allSettled([writeLine(fs, this.paths.journal, this.#journalLength, line), named]);
    if (synced.status === "rejected") throw synced.reason;
    this.#hasDurableName = true;
    if (written.status === "rejected") throw written.reason;
    this.#journalLength = written.value;
  }

  /** @throws OciError DIGEST_INVALID: the caller ends the session then */
  async finish(digest: Digest, commitId: string, signal: AbortSignal): Promise<BlobFacts> {
    signal.throwIfAborted();
    const facts = await this.#durableFacts(digest, signal);
    if (facts.digest !== digest) throw wrongDigest(digest, facts.digest);
    this.#facts = facts;
    this.#finished = true; // also where the pin fails: its link may be there
    await this.#store.pinFile(this.paths.data, facts, commitId);
    this.#small = undefined;
    this.#dropJob();
    return facts;
  }

  /** Facts of all bytes, which are durable in the data file on return (where they match the digest). */
  async #durableFacts(digest: Digest, signal: AbortSignal): Promise<BlobFacts> {
    if (this.#facts?.digest === digest) return this.#facts;
    const small = this.#small ?? (this.offset === 0 ? new Uint8Array() : undefined);
    if (small !== undefined && !this.#finished) return this.#writeSmall(small, digest);
    const file = await this.#store.fs.open(this.paths.data, "r+");
    try {
      const isHashed =
        this.#job?.position === this.offset && this.#job.failure === undefined && this.binding.algorithm === algorithmOf(digest);
      const facts = isHashed ? await this.#job!.facts(file.fd) : await scanFile(this.#store.worker, file.fd, this.offset, digest, signal);
      const isCut = (await file.stat()).sizeBytes !== this.offset;
      if (isCut) await file.truncate(this.offset);
      if (isCut || this.offset !== this.#durable) await this.#syncData(file);
      return facts;
    } finally {
      await file.close();
    }
  }

  async #syncData(file: OpenFile): Promise<void> {
    try {
      await file.datasync();
    } catch (error) {
      this.#dropJob();
      this.offset = this.#durable;
      throw error;
    }
  }

  async #writeSmall(bytes: Uint8Array, digest: Digest): Promise<BlobFacts> {
    const facts = factsOf(bytes, algorithmOf(digest));
    if (facts.digest !== digest) return facts;
    await this.#store.reserve.claim(bytes.byteLength);
    const file = await this.#store.fs.open(this.paths.data, "w");
    try {
      this.#hasData = true;
      await file.write(bytes, 0);
      await file.datasync();
    } finally {
      await file.close();
    }
    return facts;
  }

  /** Remembered, durable; the data file goes: the pin and the settled blob are other names of its bytes. */
  async complete(digest: Digest): Promise<void> {
    this.digest = digest;
    this.#dropJob();
    this.#small = undefined;
    await this.#note({ offset: this.offset, digest });
    await this.#store.release(this.paths.data, digest);
  }

  async remove(): Promise<void> {
    this.#dropJob();
    this.#small = undefined;
    // The data first: a journal without data is an upload without bytes, data without a journal would be a leak.
    await this.#store.fs.unlink(this.paths.data).catch(() => undefined);
    await this.#store.fs.unlink(this.paths.journal).catch(() => undefined);
  }
}

async function* chain(
  held: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array> | undefined,
  failure: unknown,
): AsyncGenerator<Uint8Array> {
  yield* held;
  if (rest !== undefined) yield* rest;
  if (failure !== undefined) throw failure;
}
