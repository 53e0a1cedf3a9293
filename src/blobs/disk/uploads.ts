import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import type { Digest } from "../../core/digest.ts";
import { OciError, systemCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { BlobFacts } from "../blob-store.ts";
import { outOfOrder, unknownUpload } from "../refusals.ts";
import type { UploadAppend, UploadBinding, UploadStatus, Uploads } from "../uploads.ts";
import type { DiskBlobStore } from "./blob-store.ts";
import { storageFailure } from "./failures.ts";
import type { FileSystem } from "./file-system.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { createJournal, readJournal } from "./upload-journal.ts";
import { type SessionPaths, UploadSession } from "./upload-session.ts";

export interface DiskUploadsOptions {
  /** Holds the bytes once they are finished; its data folder, file system and worker are used. */
  readonly store: DiskBlobStore;
  readonly clock: Clock;
  readonly log: Log;
  /** `uploads.expireAfter` */
  readonly expireAfterMs: number;
}

/** Sessions of earlier runs are read when they are asked for: a start does not wait for them. */
export function openDiskUploads(options: DiskUploadsOptions): Uploads {
  return new DiskUploads(options);
}

/** One block: what a session costs before it has a byte. */
const SESSION_SIZE_BYTES = 4096;
const JOURNAL = /^(.+)\.session$/;
const DATA = /^(.+)\.data$/;

class DiskUploads implements Uploads {
  readonly #store: DiskBlobStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #expireAfterMs: number;
  readonly #sessions = new Map<string, UploadSession>();
  readonly #loading = new KeyedLock();

  constructor(options: DiskUploadsOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#expireAfterMs = options.expireAfterMs;
  }

  get #fs(): FileSystem {
    return this.#store.fs;
  }

  async create(id: string, binding: UploadBinding): Promise<UploadStatus> {
    const paths = this.#store.layout.session(id);
    if (paths === undefined) throw new RangeError(`${JSON.stringify(id)} is no id for an upload: it takes 1 to 200 of A-Z a-z 0-9 _ . -`);
    try {
      await this.#store.reserve.claim(SESSION_SIZE_BYTES);
      const length = await createJournal(this.#fs, paths.journal, binding);
      const session = new UploadSession(this.#store, id, paths, { binding, offset: 0, digest: undefined, length });
      this.#sessions.set(id, session);
      return session.status();
    } catch (error) {
      throw storageFailure(error, "opening an upload");
    }
  }

  async status(id: string): Promise<UploadStatus | undefined> {
    return (await this.#find(id))?.status();
  }

  /** In memory, else from its journal. */
  async #find(id: string): Promise<UploadSession | undefined> {
    const known = this.#sessions.get(id);
    const paths = this.#store.layout.session(id);
    if (known?.ended.signal.aborted === true) return undefined; // its files are about to go
    if (known !== undefined || paths === undefined) return known;
    return this.#loading.run(id, async () => this.#sessions.get(id) ?? (await this.#load(id, paths)));
  }

  async #load(id: string, paths: SessionPaths): Promise<UploadSession | undefined> {
    try {
      const state = await readJournal(this.#fs, paths.journal);
      if (state === undefined) return undefined; // nothing was promised of it
      const held = state.digest === undefined ? await this.#cutTail(paths.data, state.offset) : undefined;
      const offset = state.digest === undefined ? heldOffset(state.offset, held) : state.offset;
      const session = new UploadSession(this.#store, id, paths, { ...state, offset }, held);
      if (session.digest === undefined) this.#sessions.set(id, session); // a complete one is only remembered: on the disk
      return session;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw storageFailure(error, "reading an upload's journal");
    }
  }

  /** Bytes past the durable offset are not known to be whole. A file that has a pin is whole, and is left as it is. */
  async #cutTail(path: string, offset: number): Promise<{ readonly sizeBytes: number; readonly links: number } | undefined> {
    try {
      const { sizeBytes, links } = await this.#fs.stat(path);
      if (sizeBytes <= offset || links > 1) return { sizeBytes, links };
      const file = await this.#fs.open(path, "r+");
      try {
        await file.truncate(offset);
      } finally {
        await file.close();
      }
      return { sizeBytes: offset, links };
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async append(id: string, chunk: UploadAppend, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UploadStatus> {
    return this.#exclusive(id, "writing an upload", signal, (session, either) => session.append(chunk, source, either));
  }

  async finish(id: string, digest: Digest, commitId: string, signal: AbortSignal): Promise<BlobFacts> {
    return this.#exclusive(id, "finishing an upload", signal, async (session, either) => {
      try {
        return await session.finish(digest, commitId, either);
      } catch (error) {
        if (error instanceof OciError && error.code === "DIGEST_INVALID") await this.#remove(session);
        throw error;
      }
    });
  }

  /** One request at a time works on a session; a cancelled one ends the request that works on it. */
  async #exclusive<T>(
    id: string,
    doing: string,
    signal: AbortSignal,
    work: (session: UploadSession, either: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const session = await this.#find(id);
    if (session === undefined || session.digest !== undefined) throw unknownUpload(id);
    if (session.busy) throw outOfOrder(session.offset, "another request is writing to this upload");
    session.busy = true;
    try {
      return await work(session, AbortSignal.any([signal, session.ended.signal]));
    } catch (error) {
      if (session.ended.signal.aborted && error === session.ended.signal.reason) throw unknownUpload(id);
      throw storageFailure(error, doing);
    } finally {
      session.busy = false;
      session.usedMs = this.#clock.monotonicMs();
      if (session.ended.signal.aborted) await this.#forget(session);
    }
  }

  async complete(id: string, digest: Digest): Promise<void> {
    const session = await this.#find(id);
    if (session === undefined || session.digest !== undefined) return; // cancelled or expired meanwhile: the commit stands all the same
    try {
      await session.complete(digest);
      this.#sessions.delete(id); // its journal remembers it
    } catch (error) {
      throw storageFailure(error, "remembering a finished upload");
    }
  }

  async cancel(id: string): Promise<boolean> {
    const session = await this.#find(id);
    if (session === undefined || session.digest !== undefined) return false;
    await this.#remove(session);
    return true;
  }

  async #remove(session: UploadSession): Promise<void> {
    session.ended.abort();
    if (!session.busy) await this.#forget(session);
  }

  async #forget(session: UploadSession): Promise<void> {
    await session.remove();
    this.#sessions.delete(session.id);
  }

  async expire(): Promise<number> {
    let count = 0;
    const names = await this.#fs.readdir(this.#store.layout.uploads);
    const journals = new Set(names);
    for (const name of names) {
      const id = JOURNAL.exec(name)?.[1];
      if (id !== undefined && (await this.#expireOne(id))) count += 1;
      const orphan = DATA.exec(name)?.[1];
      if (orphan === undefined || journals.has(`${orphan}.session`) || this.#sessions.has(orphan)) continue;
      await this.#fs.unlink(join(this.#store.layout.uploads, name)).catch(() => undefined); // asked again at the next round
    }
    if (count > 0) this.#log.info({ count }, "idle uploads expired");
    return count;
  }

  /** One that is not in memory is as old as its journal. */
  async #expireOne(id: string): Promise<boolean> {
    const known = this.#sessions.get(id);
    const paths = this.#store.layout.session(id);
    if (paths === undefined) return false;
    if (known !== undefined) {
      if (known.busy || this.#clock.monotonicMs() - known.usedMs < this.#expireAfterMs) return false;
      await this.#remove(known);
      return true;
    }
    const stat = await this.#fs.stat(paths.journal).catch(() => undefined);
    if (stat === undefined || this.#clock.wallMs() - Number(stat.mtimeNs / 1_000_000n) < this.#expireAfterMs) return false;
    await this.#fs.unlink(paths.data).catch(() => undefined);
    await this.#fs.unlink(paths.journal).catch(() => undefined);
    return true;
  }
}

/** A file that has a pin is whole, though a last chunk wrote no line of the journal. */
function heldOffset(durable: number, held: { readonly sizeBytes: number; readonly links: number } | undefined): number {
  if (held === undefined) return 0;
  return held.links > 1 ? held.sizeBytes : Math.min(durable, held.sizeBytes);
}
