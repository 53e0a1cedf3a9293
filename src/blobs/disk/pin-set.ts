import type { Digest } from "../../core/digest.ts";
import type { Pin } from "../blob-store.ts";

/** The pins that stand, by digest. */
export class PinSet {
  readonly #ids = new Map<Digest, Set<string>>();

  add({ digest, commitId }: Pin): void {
    const ids = this.#ids.get(digest);
    if (ids === undefined) this.#ids.set(digest, new Set([commitId]));
    else ids.add(commitId);
  }

  has({ digest, commitId }: Pin): boolean {
    return this.#ids.get(digest)?.has(commitId) === true;
  }

  delete({ digest, commitId }: Pin): void {
    const ids = this.#ids.get(digest);
    ids?.delete(commitId);
    if (ids?.size === 0) this.#ids.delete(digest);
  }

  of(digest: Digest): readonly Pin[] {
    return [...(this.#ids.get(digest) ?? [])].map((commitId) => ({ digest, commitId }));
  }

  all(): readonly Pin[] {
    return [...this.#ids.keys()].flatMap((digest) => this.of(digest));
  }
}
