import type { Freshness } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";
import type { ByteRange } from "../core/range.ts";
import type { Reference, RepositoryName, Tag } from "../core/reference.ts";
import type { Referrer } from "../metadata/records.ts";

/** Who asks. Until there are users every caller is `anonymous` and may do all. */
export interface Caller {
  readonly principal: string;
}

/** An answer and how fresh it is: `cutOff` carries `Warning: 110` (G3). */
export interface Read<T> {
  readonly value: T;
  readonly freshness: Freshness;
}

export interface ManifestBody {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Byte for byte as received. */
  readonly bytes: Uint8Array;
}

export interface BlobBody {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Streams `[start, end)`: from the disk here, else through the exchange. Not begun before it is called. */
  open(range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** State of an upload session as the client sees it. */
export interface UploadProgress {
  /** Opaque, valid on every node (G4). */
  readonly id: string;
  /** Bytes held. */
  readonly offset: number;
}

export interface PutManifest {
  readonly repository: RepositoryName;
  readonly reference: Reference;
  /** More tags for the same manifest (`?tag=`, distribution-spec 1.1, "Pushing Manifests"). */
  readonly tags: readonly Tag[];
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly ifMatch?: readonly (Digest | "*")[];
  readonly ifNoneMatch?: readonly (Digest | "*")[];
}

export interface Page<T> {
  readonly items: readonly T[];
  /** What `last` is to be for the next page; undefined on the last one. */
  readonly next: string | undefined;
}

/**
 * The use cases behind the HTTP door, one method an end point of the distribution-spec 1.1. All throw `OciError`.
 * Reads take the barrier; "exists", said to one who may push, renews a lease that runs out (design.md, Leases).
 */
export interface Registry {
  /** @throws MANIFEST_UNKNOWN, NAME_UNKNOWN, UNAVAILABLE */
  manifest(caller: Caller, repository: RepositoryName, reference: Reference, signal: AbortSignal): Promise<Read<ManifestBody>>;
  headManifest(
    caller: Caller,
    repository: RepositoryName,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<Read<Omit<ManifestBody, "bytes">>>;
  /** @throws MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, DIGEST_INVALID, PRECONDITION_FAILED, BODY_TOO_LARGE, UNAVAILABLE */
  putManifest(
    caller: Caller,
    put: PutManifest,
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest; readonly subject: Digest | undefined; readonly tags: readonly Tag[] }>;
  deleteManifest(caller: Caller, repository: RepositoryName, reference: Reference, signal: AbortSignal): Promise<void>;

  /** @throws BLOB_UNKNOWN, NAME_UNKNOWN, UNAVAILABLE */
  blob(caller: Caller, repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<Read<BlobBody>>;
  headBlob(
    caller: Caller,
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Read<Pick<BlobBody, "digest" | "sizeBytes">>>;
  /** @throws BLOB_UNKNOWN, REFERENCED (405) */
  deleteBlob(caller: Caller, repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<void>;

  /** @param algorithm what to hash while the bytes come in: of `digest-algorithm=` or sha256 */
  startUpload(caller: Caller, repository: RepositoryName, algorithm: "sha256" | "sha512", signal: AbortSignal): Promise<UploadProgress>;
  /** Links the blob into `repository`; undefined where that cannot be (the caller opens a session and answers 202). Without `from`, any repository that has it. */
  mountBlob(
    caller: Caller,
    repository: RepositoryName,
    digest: Digest,
    from: RepositoryName | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly digest: Digest } | undefined>;
  /** @throws BLOB_UPLOAD_UNKNOWN, UNAVAILABLE where the owner cannot be reached */
  uploadProgress(caller: Caller, repository: RepositoryName, id: string, signal: AbortSignal): Promise<UploadProgress>;
  /** @throws RANGE_INVALID (detail `offset`), SIZE_INVALID, BLOB_UPLOAD_UNKNOWN, INSUFFICIENT_STORAGE */
  appendUpload(caller: Caller, chunk: UploadChunk, signal: AbortSignal): Promise<UploadProgress>;
  /** Appends what the body still brings, then commits: durable on `need` members and applied on return (G1). @throws DIGEST_INVALID and those of `appendUpload` */
  finishUpload(caller: Caller, chunk: UploadChunk & { readonly digest: Digest }, signal: AbortSignal): Promise<{ readonly digest: Digest }>;
  cancelUpload(caller: Caller, repository: RepositoryName, id: string, signal: AbortSignal): Promise<void>;

  tags(
    caller: Caller,
    repository: RepositoryName,
    page: { readonly after: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<Read<Page<Tag>>>;
  repositories(
    caller: Caller,
    page: { readonly after: string; readonly limit: number },
    signal: AbortSignal,
  ): Promise<Read<Page<RepositoryName>>>;
  /** Never 404 (http-rules 13); what an old fallback tag lists is folded in. */
  referrers(
    caller: Caller,
    repository: RepositoryName,
    subject: Digest,
    page: { readonly after: string; readonly limit: number; readonly artifactType: string | undefined },
    signal: AbortSignal,
  ): Promise<Read<Page<Referrer>>>;
}

export interface UploadChunk {
  readonly repository: RepositoryName;
  readonly id: string;
  /** Where Content-Range says that it starts; undefined for a stream. */
  readonly offset?: number;
  /** Content-Length, where there is one. */
  readonly sizeBytes?: number;
  readonly body: AsyncIterable<Uint8Array>;
}
