import type { UploadAppend, UploadStatus } from "../blobs/uploads.ts";
import type { Digest, DigestAlgorithm } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { discard } from "../core/spent-bytes.ts";
import { type Context, untilAborted } from "./context.ts";
import { newIn } from "./cut-puts.ts";
import { assertWritable } from "./freshness.ts";
import { assertSameDigest, commitUpload, type FinishedUpload } from "./push.ts";
import type { Caller } from "./registry.ts";
import { newLocalId, unknownUpload } from "./upload-id.ts";
import { UploadLeases } from "./upload-leases.ts";

/** One chunk for a session of this node. */
export interface OwnChunk {
  readonly repository: RepositoryName;
  readonly local: string;
  readonly offset: number | undefined;
  readonly sizeBytes: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

interface Finishing {
  readonly digest: Digest;
  /** Undefined while nobody is at work: the last attempt failed, and the bytes are all here. */
  work: Promise<void> | undefined;
}

const FINISHING_MAX = 10_000;
const NEVER: AbortSignal = new AbortController().signal;

/** The sessions that live on this node; the binding of each is checked here, whichever node was asked. */
export class UploadOwner {
  readonly #context: Context;
  readonly #leases: UploadLeases;
  /** Sessions whose bytes are complete and checked, and whose commit is not answered yet. */
  readonly #finishing = new Map<string, Finishing>();

  constructor(context: Context) {
    this.#context = context;
    this.#leases = new UploadLeases(context);
  }

  async start(caller: Caller, repository: RepositoryName, algorithm: DigestAlgorithm): Promise<UploadStatus> {
    assertWritable(this.#context.consensus);
    this.#leases.progressed(repository);
    return this.#context.uploads.create(newLocalId(this.#context.random), { repository, principal: caller.principal, algorithm });
  }

  async #bound(caller: Caller, repository: RepositoryName, local: string): Promise<UploadStatus> {
    const status = await this.#context.uploads.status(local);
    // another's session is as unknown as none: its id says nothing
    if (status?.repository !== repository || status.principal !== caller.principal) throw unknownUpload(local);
    return status;
  }

  async progress(caller: Caller, repository: RepositoryName, local: string): Promise<number> {
    const status = await this.#bound(caller, repository, local);
    if (status.digest !== undefined) throw unknownUpload(local);
    return status.offset;
  }

  async append(caller: Caller, chunk: OwnChunk, signal: AbortSignal): Promise<number> {
    await this.#bound(caller, chunk.repository, chunk.local);
    const body = this.#leases.watch(chunk.repository, chunk.body);
    return (await this.#context.uploads.append(chunk.local, partOf(chunk), body, signal)).offset;
  }

  /**
   * A PUT that is sent again joins the one at work, goes on with one that failed or that a restart of this node cut off (its bytes are pinned: they are not
   * taken again, and the digest decides), or is told again what was answered. The commit belongs to the session:
   * it goes on when its client has left, who may be about to send the PUT again.
   */
  async finish(caller: Caller, chunk: OwnChunk, digest: Digest, signal: AbortSignal): Promise<void> {
    const status = await this.#bound(caller, chunk.repository, chunk.local);
    const known = this.#finishing.get(chunk.local);
    if (status.finished || known !== undefined) {
      assertSameDigest(status.digest ?? known?.digest ?? digest, digest);
      await drain(chunk.body, signal);
      if (status.digest !== undefined) return;
    }
    const running = this.#finishing.get(chunk.local)?.work; // asked again: another PUT may have begun while this body was read
    if (running !== undefined) return untilAborted(running, signal);
    let sizeBytes = status.offset;
    if (known === undefined && !status.finished) {
      assertWritable(this.#context.consensus);
      sizeBytes = await this.#appendLast(chunk, digest, status, signal);
    }
    const finishing: Finishing = { digest, work: undefined };
    finishing.work = this.#commit(caller, { repository: chunk.repository, id: chunk.local, digest, sizeBytes }, finishing);
    this.#remember(chunk.local, finishing);
    await untilAborted(finishing.work, signal);
  }

  /** @returns bytes held with it */
  async #appendLast(chunk: OwnChunk, digest: Digest, status: UploadStatus, signal: AbortSignal): Promise<number> {
    const fresh = newIn(chunk, digest, status);
    const body = this.#leases.watch(chunk.repository, fresh.body);
    const { offset } = await this.#context.uploads.append(chunk.local, { ...partOf(fresh), last: true, digest }, body, signal);
    return offset;
  }

  async #commit(caller: Caller, upload: FinishedUpload, finishing: Finishing): Promise<void> {
    try {
      await commitUpload(this.#context, caller, upload, NEVER);
      this.#finishing.delete(upload.id);
    } catch (error) {
      finishing.work = undefined;
      // a mismatch has ended the session; whatever else it was, the bytes stay, and a PUT may be sent again
      if ((await this.#context.uploads.status(upload.id)) === undefined) this.#finishing.delete(upload.id);
      throw error;
    }
  }

  #remember(local: string, finishing: Finishing): void {
    const oldest = this.#finishing.keys().next();
    if (this.#finishing.size >= FINISHING_MAX && oldest.done !== true) this.#finishing.delete(oldest.value);
    this.#finishing.set(local, finishing);
  }

  async cancel(caller: Caller, repository: RepositoryName, local: string): Promise<void> {
    const status = await this.#bound(caller, repository, local);
    if (status.digest !== undefined || !(await this.#context.uploads.cancel(local))) throw unknownUpload(local);
    this.#finishing.delete(local);
  }
}

function partOf({ offset, sizeBytes }: OwnChunk): UploadAppend {
  return { ...(offset === undefined ? {} : { offset }), ...(sizeBytes === undefined ? {} : { sizeBytes }) };
}

/** The body of a PUT that was sent again is what is here already; it is read so that the connection goes on. */
async function drain(body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  for await (const chunk of body) {
    signal.throwIfAborted();
    discard(chunk);
  }
}
