import { CorruptBlobError, isBadCopy } from "../blobs/corrupt-blob.ts";
import type { Freshness } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { ByteRange } from "../core/range.ts";
import type { Reference, RepositoryName } from "../core/reference.ts";
import type { BlobRecord, Link, ManifestRecord } from "../metadata/records.ts";
import type { Context } from "./context.ts";
import { absence, cutOffError } from "./freshness.ts";
import { assertAccepted, lostError, unknownError } from "./outcomes.ts";
import type { BlobBody, ManifestBody, Read } from "./registry.ts";

/** Reads of manifests and blobs (design.md, "The life of a pull"). */
export class Pull {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async manifest(repository: RepositoryName, reference: Reference, signal: AbortSignal): Promise<Read<ManifestBody>> {
    const freshness = await this.#context.consensus.barrier(signal);
    const { digest, mediaType, bytes } = this.#findManifest(repository, reference, freshness);
    return { value: { digest, mediaType, sizeBytes: bytes.byteLength, bytes }, freshness };
  }

  async headManifest(repository: RepositoryName, reference: Reference, signal: AbortSignal): Promise<Read<Omit<ManifestBody, "bytes">>> {
    const freshness = await this.#context.consensus.barrier(signal);
    const record = this.#findManifest(repository, reference, freshness);
    if (record.tags.length === 0 && this.#runsOut(record.lease))
      await this.#renew(repository, record.digest, freshness, "MANIFEST_UNKNOWN");
    return { value: { digest: record.digest, mediaType: record.mediaType, sizeBytes: record.bytes.byteLength }, freshness };
  }

  async blob(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<Read<BlobBody>> {
    const freshness = await this.#context.consensus.barrier(signal);
    const { sizeBytes } = this.#findBlob(repository, digest, freshness).record;
    return { value: { digest, sizeBytes, open: (range, given) => this.#read(digest, sizeBytes, range, given) }, freshness };
  }

  async headBlob(
    repository: RepositoryName,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Read<{ readonly digest: Digest; readonly sizeBytes: number }>> {
    const freshness = await this.#context.consensus.barrier(signal);
    const { link, record } = this.#findBlob(repository, digest, freshness);
    if (link.references === 0 && this.#runsOut(link.lease)) await this.#renew(repository, digest, freshness, "BLOB_UNKNOWN");
    return { value: { digest, sizeBytes: record.sizeBytes }, freshness };
  }

  #findManifest(repository: RepositoryName, reference: Reference, freshness: Freshness): ManifestRecord {
    const { catalog } = this.#context.consensus;
    const digest = reference.digest ?? catalog.tag(repository, reference.tag)?.digest;
    const record = digest === undefined ? undefined : catalog.manifest(repository, digest);
    if (record !== undefined) return record;
    throw absence(freshness, () => unknownError("MANIFEST_UNKNOWN", { repository, reference: reference.digest ?? reference.tag }));
  }

  #findBlob(repository: RepositoryName, digest: Digest, freshness: Freshness): { readonly link: Link; readonly record: BlobRecord } {
    const { catalog } = this.#context.consensus;
    const link = catalog.link(repository, digest);
    const record = link === undefined ? undefined : catalog.blob(digest);
    if (link === undefined || record?.state !== "live")
      throw absence(freshness, () => unknownError("BLOB_UNKNOWN", { repository, digest }));
    // To whoever pushes, "exists" would be the end of it: told that it is not there, they bring it again.
    if (catalog.holders(record).length === 0) throw absence(freshness, () => lostError({ repository, digest }));
    return { link, record };
  }

  /** Less than half of a lease is left: a pusher that is told "exists" now might still come too late with its manifest. */
  #runsOut(lease: number): boolean {
    return lease - this.#context.consensus.catalog.time() < this.#context.leaseMs() / 2;
  }

  async #renew(
    repository: RepositoryName,
    digest: Digest,
    freshness: Freshness,
    unknown: "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN",
  ): Promise<void> {
    if (freshness === "cutOff") throw cutOffError("the content exists, but this node is cut off and cannot promise that it stays");
    const outcome = await this.#context.consensus.propose({ type: "lease.renew", repository, digest });
    assertAccepted(outcome, unknown, { repository, digest });
  }

  /** From the disk here; where that has no copy, or a bad one, from the other holders, from the first byte that was not handed on. */
  async *#read(digest: Digest, sizeBytes: number, range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let start = range.start;
    try {
      for await (const chunk of this.#context.blobs.open(digest, range, signal)) {
        start += chunk.byteLength;
        yield chunk;
      }
      if (start >= range.end) return this.#context.exchange.used(digest);
      throw new CorruptBlobError(digest, undefined, `it ends ${range.end - start} bytes early`);
    } catch (error) {
      if (!(await this.#giveUpCopy(digest, error))) throw error;
    }
    const { catalog } = this.#context.consensus;
    const record = catalog.blob(digest);
    const holders = (record === undefined ? [] : catalog.holders(record)).map((member) => member.peerId);
    const others = holders.filter((peer) => peer !== this.#context.self.peerId);
    const wanted = { digest, sizeBytes, root: record?.root, holders: others };
    yield* this.#context.exchange.fetch(wanted, { start, end: range.end }, signal);
  }

  /** @returns whether the copy here is absent or bad, and others are to be asked; a bad one is quarantined first (G6) */
  async #giveUpCopy(digest: Digest, error: unknown): Promise<boolean> {
    const { blobs, consensus, log, self, spreader } = this.#context;
    if (error instanceof OciError && error.code === "BLOB_UNKNOWN") {
      if (consensus.catalog.blob(digest)?.copies.includes(self.raftId) === true) {
        log.error({ digest }, "the record lists a copy here and there is none: it is struck from the record and healed from the others");
        spreader.reportBad(digest);
      }
      return true;
    }
    if (!isBadCopy(error)) return false;
    const reason = error instanceof CorruptBlobError ? String(error) : "the disk cannot read it";
    log.error({ digest, reason }, "a copy on this node is bad: it is quarantined and healed from the others");
    await blobs.quarantine(digest, reason).catch((failure: unknown) => log.error({ digest, failure }, "the quarantine failed"));
    spreader.reportBad(digest);
    return true;
  }
}
