import { algorithmOf, type Digest, digestOf, parseDigest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { isForeignLayer } from "../core/media-types.ts";
import type { ByteRange } from "../core/range.ts";
import type { Reference, RepositoryName, Tag } from "../core/reference.ts";
import type { ManifestBody, Page, PutManifest, Read, Registry, UploadChunk } from "../registry/registry.ts";

type Referrer = Awaited<ReturnType<Registry["referrers"]>>["value"]["items"][number];

interface Repository {
  readonly manifests: Map<Digest, ManifestBody & { readonly subject: Digest | undefined; readonly referrer: Referrer }>;
  readonly tags: Map<Tag, Digest>;
  readonly blobs: Set<Digest>;
}

/** For tests alone: a registry in memory with the rules that the door can see, and a few faults to order. */
export class RegistryDouble implements Registry {
  readonly blobs = new Map<Digest, Uint8Array>();
  readonly uploads = new Map<string, { repository: string; bytes: Buffer; busy: boolean }>();
  /** Thrown by the next call of any method. */
  failure: unknown;
  cutOff = false;
  chunkBytes = 64 * 1024;
  readonly #repositories = new Map<RepositoryName, Repository>();
  #sessions = 0;

  manifest: Registry["manifest"] = async (_caller, repository, reference) => this.#read(this.#manifest(repository, reference));
  headManifest: Registry["headManifest"] = async (_caller, repository, reference) => this.#read(this.#manifest(repository, reference));

  putManifest: Registry["putManifest"] = async (_caller, put) => {
    this.#fail();
    const parsed = parse(put);
    const digest = digestOf(put.bytes, put.reference.digest === undefined ? "sha256" : algorithmOf(put.reference.digest));
    if (put.reference.digest !== undefined && put.reference.digest !== digest) {
      throw new OciError("DIGEST_INVALID", "the manifest has another digest", { digest });
    }
    const repository = this.#repository(put.repository, true);
    this.#checkConditions(put, repository);
    const mediaType = put.mediaType || parsed.mediaType;
    for (const blob of parsed.blobs) {
      if (!repository.blobs.has(blob)) throw new OciError("MANIFEST_BLOB_UNKNOWN", "a blob is not there", { digest: blob });
    }
    const referrer = {
      digest,
      mediaType,
      sizeBytes: put.bytes.byteLength,
      artifactType: parsed.artifactType,
      annotations: parsed.annotations,
    };
    repository.manifests.set(digest, {
      digest,
      mediaType,
      sizeBytes: put.bytes.byteLength,
      bytes: put.bytes,
      subject: parsed.subject,
      referrer,
    });
    const tags = put.reference.tag === undefined ? put.tags : [...put.tags, put.reference.tag];
    for (const tag of tags) repository.tags.set(tag, digest);
    return { digest, subject: parsed.subject, tags: put.tags };
  };

  deleteManifest: Registry["deleteManifest"] = async (_caller, name, reference) => {
    this.#fail();
    const { digest } = this.#manifest(name, reference);
    const repository = this.#repository(name);
    if (reference.tag !== undefined) {
      repository.tags.delete(reference.tag);
      return;
    }
    repository.manifests.delete(digest);
    for (const [tag, target] of repository.tags) if (target === digest) repository.tags.delete(tag);
  };

  blob: Registry["blob"] = async (_caller, name, digest) => {
    const bytes = this.#blob(name, digest);
    const step = this.chunkBytes;
    const open = async function* (range: ByteRange): AsyncIterable<Uint8Array> {
      for (let at = range.start; at < range.end; at += step) yield bytes.subarray(at, Math.min(at + step, range.end));
    };
    return this.#read({ digest, sizeBytes: bytes.byteLength, open });
  };
  headBlob: Registry["headBlob"] = async (_caller, name, digest) => {
    return this.#read({ digest, sizeBytes: this.#blob(name, digest).byteLength });
  };
  deleteBlob: Registry["deleteBlob"] = async (_caller, name, digest) => {
    this.#blob(name, digest);
    this.#repository(name).blobs.delete(digest);
  };

  startUpload: Registry["startUpload"] = async (_caller, repository) => {
    this.#fail();
    this.#sessions += 1;
    const id = `session-${this.#sessions}`;
    this.uploads.set(id, { repository, bytes: Buffer.alloc(0), busy: false });
    return { id, offset: 0 };
  };
  mountBlob: Registry["mountBlob"] = async (_caller, repository, digest, from) => {
    this.#fail();
    if (!this.blobs.has(digest) || (from !== undefined && !this.#repository(from).blobs.has(digest))) return undefined;
    this.#repository(repository, true).blobs.add(digest);
    return { digest };
  };
  uploadProgress: Registry["uploadProgress"] = async (_caller, repository, id) => {
    return { id, offset: this.#session(repository, id).bytes.byteLength };
  };
  appendUpload: Registry["appendUpload"] = async (_caller, chunk) => this.#append(chunk);
  finishUpload: Registry["finishUpload"] = async (_caller, chunk) => {
    await this.#append(chunk);
    const { bytes } = this.#session(chunk.repository, chunk.id);
    this.uploads.delete(chunk.id);
    const actual = digestOf(bytes, algorithmOf(chunk.digest));
    if (actual !== chunk.digest) throw new OciError("DIGEST_INVALID", "the content has another digest", { actual });
    this.addBlob(chunk.repository, bytes, actual);
    return { digest: actual };
  };
  cancelUpload: Registry["cancelUpload"] = async (_caller, repository, id) => {
    this.#session(repository, id);
    this.uploads.delete(id);
  };

  tags: Registry["tags"] = async (_caller, name, page) => {
    return this.#read(pageOf([...this.#repository(name).tags.keys()], page, (tag) => tag));
  };
  repositories: Registry["repositories"] = async (_caller, page) => {
    return this.#read(pageOf([...this.#repositories.keys()], page, (name) => name));
  };
  referrers: Registry["referrers"] = async (_caller, name, subject, page) => {
    const all = [...(this.#repositories.get(name)?.manifests.values() ?? [])].filter((manifest) => manifest.subject === subject);
    const wanted = all.filter(({ referrer }) => page.artifactType === undefined || referrer.artifactType === page.artifactType);
    return this.#read(
      pageOf(
        wanted.map(({ referrer }) => referrer),
        page,
        (referrer) => referrer.digest,
      ),
    );
  };

  addBlob(repository: string, bytes: Uint8Array, digest = digestOf(bytes)): Digest {
    this.blobs.set(digest, bytes);
    this.#repository(repository as RepositoryName, true).blobs.add(digest);
    return digest;
  }

  async #append(chunk: UploadChunk): Promise<{ id: string; offset: number }> {
    const session = this.#session(chunk.repository, chunk.id);
    const offset = session.bytes.byteLength;
    if (session.busy || (chunk.offset !== undefined && chunk.offset !== offset)) {
      throw new OciError("RANGE_INVALID", "out of order", { offset });
    }
    session.busy = true;
    try {
      for await (const bytes of chunk.body) session.bytes = Buffer.concat([session.bytes, bytes]);
    } finally {
      session.busy = false;
    }
    if (chunk.sizeBytes !== undefined && session.bytes.byteLength !== offset + chunk.sizeBytes) {
      throw new OciError("SIZE_INVALID", "the body has another size than was promised");
    }
    return { id: chunk.id, offset: session.bytes.byteLength };
  }

  #fail(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }

  #read<T>(value: T): Read<T> {
    this.#fail();
    return { value, freshness: this.cutOff ? "cutOff" : "fresh" };
  }

  #repository(name: RepositoryName, create = false): Repository {
    let repository = this.#repositories.get(name);
    if (repository === undefined) {
      repository = { manifests: new Map(), tags: new Map(), blobs: new Set() };
      if (!create) throw new OciError("NAME_UNKNOWN", "no such repository", { name });
      this.#repositories.set(name, repository);
    }
    return repository;
  }

  #manifest(name: RepositoryName, reference: Reference) {
    this.#fail();
    const repository = this.#repository(name);
    const digest = reference.digest ?? repository.tags.get(reference.tag);
    const manifest = digest === undefined ? undefined : repository.manifests.get(digest);
    if (manifest === undefined) throw new OciError("MANIFEST_UNKNOWN", "no such manifest");
    return manifest;
  }

  #blob(name: RepositoryName, digest: Digest): Uint8Array {
    this.#fail();
    const bytes = this.#repository(name).blobs.has(digest) ? this.blobs.get(digest) : undefined;
    if (bytes === undefined) throw new OciError("BLOB_UNKNOWN", "no such blob", { digest });
    return bytes;
  }

  #session(repository: string, id: string) {
    this.#fail();
    const session = this.uploads.get(id);
    if (session === undefined || session.repository !== repository) throw new OciError("BLOB_UPLOAD_UNKNOWN", "no such session");
    return session;
  }

  #checkConditions(put: PutManifest, repository: Repository): void {
    const current = put.reference.tag === undefined ? put.reference.digest : repository.tags.get(put.reference.tag);
    const matches = (tags: readonly (Digest | "*")[]) => current !== undefined && tags.some((tag) => tag === "*" || tag === current);
    if (put.ifMatch !== undefined && !matches(put.ifMatch)) throw new OciError("PRECONDITION_FAILED", "the tag has moved");
    if (put.ifNoneMatch !== undefined && matches(put.ifNoneMatch)) throw new OciError("PRECONDITION_FAILED", "the tag is there");
  }
}

function pageOf<T>(items: T[], page: { after: string; limit: number }, key: (item: T) => string): Page<T> {
  const rest = items.filter((item) => key(item) > page.after).sort((a, b) => (key(a) < key(b) ? -1 : 1));
  const shown = rest.slice(0, page.limit);
  const last = shown.at(-1);
  return { items: shown, next: rest.length > shown.length && last !== undefined ? key(last) : undefined };
}

interface Parsed {
  mediaType: string;
  artifactType: string | undefined;
  annotations: Record<string, string> | undefined;
  subject: Digest | undefined;
  blobs: Digest[];
}

function parse(put: PutManifest): Parsed {
  let manifest: Record<string, unknown>;
  try {
    manifest = Object(JSON.parse(Buffer.from(put.bytes).toString())) as Record<string, unknown>;
  } catch (error) {
    throw new OciError("MANIFEST_INVALID", "no JSON", {}, error);
  }
  const digestIn = (value: unknown) => parseDigest(String(Object(value).digest ?? ""));
  const layers = (Array.isArray(manifest.layers) ? manifest.layers : []).filter(
    (layer) => !isForeignLayer(String(Object(layer).mediaType)),
  );
  const configType: unknown = Object(manifest.config).mediaType;
  return {
    mediaType: typeof manifest.mediaType === "string" ? manifest.mediaType : "application/vnd.oci.image.manifest.v1+json",
    artifactType: [manifest.artifactType, configType].find((type) => typeof type === "string"),
    annotations: manifest.annotations as Record<string, string> | undefined,
    subject: digestIn(manifest.subject),
    blobs: [manifest.config, ...layers].map(digestIn).filter((digest) => digest !== undefined),
  };
}
