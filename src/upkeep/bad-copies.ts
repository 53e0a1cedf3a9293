import type { BlobStore } from "../blobs/blob-store.ts";
import { CorruptBlobError, isBadCopy } from "../blobs/corrupt-blob.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Audit } from "./audit.ts";

export interface BadCopiesOptions {
  readonly consensus: Consensus;
  readonly blobs: BlobStore;
  readonly self: { readonly raftId: RaftId };
  readonly log: Log;
  readonly audit: Audit;
}

/** Copies on this node that are gone or were quarantined: their places in the records are given up, so that the holders that are left heal them (G6). */
export class BadCopies {
  readonly #options: BadCopiesOptions;
  /** Not struck yet. */
  readonly #waiting = new Set<Digest>();

  constructor(options: BadCopiesOptions) {
    this.#options = options;
  }

  report(digest: Digest): void {
    this.#waiting.add(digest);
    void this.giveUp(digest);
  }

  /** Those that could not be struck while there was no quorum. */
  async retry(): Promise<void> {
    for (const digest of this.#waiting) await this.giveUp(digest);
  }

  async giveUp(digest: Digest): Promise<void> {
    const { audit, blobs, consensus, log, self } = this.#options;
    try {
      const listed = consensus.catalog.blob(digest)?.copies.includes(self.raftId) === true;
      // a good one may have been brought since
      if (listed && (await blobs.stat(digest)) === undefined) {
        const { refused } = await consensus.propose({ type: "copy.drop", digest, copy: self.raftId, bad: true });
        if (refused === undefined) audit.note({ action: "copy.struck", target: digest, detail: "no good copy lies here any more" });
      }
      this.#waiting.delete(digest);
    } catch (error) {
      log.warn({ digest, error }, "a bad copy could not be struck from the record yet: it is tried again with the next pass");
    }
  }

  /** Nobody took the copy: it may be this one that is bad, and a target does not say why it refuses. @returns whether a good one lies here */
  async verify(digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { blobs, log } = this.#options;
    const local = await blobs.stat(digest);
    try {
      if (local === undefined) throw new CorruptBlobError(digest, undefined, "it is gone");
      for await (const _ of blobs.open(digest, { start: 0, end: local.sizeBytes }, signal));
      return true;
    } catch (error) {
      if (!isBadCopy(error)) return true;
      log.error({ digest, error }, "a copy on this node is bad: it is quarantined and healed from the others");
      await blobs.quarantine(digest, String(error));
      this.#waiting.add(digest);
      await this.giveUp(digest);
      return false;
    }
  }
}
