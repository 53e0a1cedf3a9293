import type { Digest, DigestAlgorithm } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import type { BlobFacts } from "./blob-store.ts";

/**
 * Upload sessions that live on this node, and survive its restart: what was fsynced goes on. Adapters: `memory.ts`, `disk/`.
 * A session's id is opaque here; the registry puts the owner's peer id in front.
 */
export interface Uploads {
  create(id: string, binding: UploadBinding): Promise<UploadStatus>;
  /** Undefined for one that never was, was cancelled, or has expired. */
  status(id: string): Promise<UploadStatus | undefined>;
  /**
   * Appends in order of arrival, hashed and written in the worker; durable on return.
   * @param offset where the client says that this chunk starts; undefined for a stream without Content-Range
   * @param sizeBytes what Content-Length promised; a body that ends early keeps what came and rejects with SIZE_INVALID, as a source that throws or a
   *   signal that aborts keeps it and rejects with that error
   * @param last `finish` follows at once: durability may wait for it, which saves small pushes two fsyncs
   * @throws OciError RANGE_INVALID (detail `offset`: bytes held) where the offset is not the end or another writer is at work;
   *   BLOB_UPLOAD_UNKNOWN; INSUFFICIENT_STORAGE (the session stays)
   */
  append(id: string, chunk: UploadAppend, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UploadStatus>;
  /**
   * Checks the digest (one re-read where it is of another algorithm than was hashed), fsyncs, and pins the bytes under `commitId`.
   * The session stands until `complete`, takes no more bytes, and may be finished again under another commit id. A mismatch ends it.
   * @throws OciError DIGEST_INVALID, BLOB_UPLOAD_UNKNOWN, RANGE_INVALID while a writer is at work
   */
  finish(id: string, digest: Digest, commitId: string, signal: AbortSignal): Promise<BlobFacts>;
  /** The commit was answered: the session is remembered with its digest until it expires, so that a retried PUT is answered again. */
  complete(id: string, digest: Digest): Promise<void>;
  /** A request that writes to it is ended. False where there is none, or it is complete. */
  cancel(id: string): Promise<boolean>;
  /** Drops sessions idle for longer than `uploads.expireAfter`; answers how many. */
  expire(): Promise<number>;
}

export interface UploadAppend {
  readonly offset?: number;
  readonly sizeBytes?: number;
  readonly last?: boolean;
  /** What the session is to be with the whole of this body: where the body is cut, `cut` tells of it. */
  readonly digest?: Digest;
}

/** A body that was to end the session and broke off. Of one that came without an offset: the next one may be the same, sent again from its beginning. */
export interface CutBody {
  readonly digest: Digest;
  /** Bytes that the session held when it began. */
  readonly start: number;
  readonly sizeBytes: number;
}

export interface UploadBinding {
  readonly repository: RepositoryName;
  readonly principal: string;
  /** What is hashed while the bytes come in; sha256 where the client named no other. */
  readonly algorithm: DigestAlgorithm;
}

export interface UploadStatus extends UploadBinding {
  readonly id: string;
  /** Bytes held. */
  readonly offset: number;
  /** Its bytes are whole and were pinned: it takes no more, also after a restart. */
  readonly finished: boolean;
  /** Set once the session is complete. */
  readonly digest: Digest | undefined;
  /** The last one, also after a restart. */
  readonly cut?: CutBody | undefined;
}
