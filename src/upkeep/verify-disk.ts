import type { BlobStore } from "../blobs/blob-store.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Digest } from "../core/digest.ts";

/** How this node's disk compares with its catalog. Of what is wrong the first digests are named. */
export interface DiskFindings {
  readonly files: number;
  /** That the records list here. */
  readonly copies: number;
  /** Copies that the records list here and of which there is no file. */
  readonly missing: readonly Digest[];
  readonly missingCount: number;
  /** Files that no record knows and no pin keeps. */
  readonly strays: readonly Digest[];
  readonly strayCount: number;
}

export interface VerifyDiskOptions {
  readonly consensus: Consensus;
  readonly blobs: Pick<BlobStore, "list" | "pins">;
}

const PAGE = 256;
const NAMED_MAX = 20;

/**
 * Looks at the name of each file, as the disk has it, not into it (that is the scrub's). What looks wrong is looked at again at the end: pushes and deletions go on
 * meanwhile.
 */
export async function verifyDisk({ consensus, blobs }: VerifyDiskOptions, signal: AbortSignal): Promise<DiskFindings> {
  const { catalog, self } = consensus;
  await consensus.barrier(signal);
  const isListed = (digest: Digest): boolean => {
    const record = catalog.blob(digest);
    return record?.state === "live" && record.copies.includes(self);
  };
  const isPinned = (digest: Digest): boolean => blobs.pins().some((pin) => pin.digest === digest);
  // the only one that is greater than what it begins with, and not than itself
  const isThere = async (digest: Digest): Promise<boolean> => (await blobs.list(digest.slice(0, -1), 1))[0] === digest;
  const isExpected = (digest: Digest): boolean => {
    const record = catalog.blob(digest);
    return record?.state === "live" || (record?.state === "condemned" && !record.acknowledged.includes(self)) || isPinned(digest);
  };
  const missing: Digest[] = [];
  const strays: Digest[] = [];
  let copies = 0;
  let files = 0;
  const held = paged((after) => catalog.heldBy(self, after, PAGE));
  const listed = paged((after) => blobs.list(after, PAGE));
  let [copy, file] = [await held.next(), await listed.next()];
  while (copy.done !== true || file.done !== true) {
    signal.throwIfAborted();
    const isCopyFirst = file.done === true || (copy.done !== true && copy.value < file.value);
    if (copy.done !== true && isCopyFirst) {
      copies += 1;
      missing.push(copy.value);
      copy = await held.next();
    } else if (file.done !== true) {
      files += 1;
      const isBoth = copy.done !== true && copy.value === file.value;
      if (!isBoth && !isExpected(file.value)) strays.push(file.value);
      if (isBoth) {
        copies += 1;
        copy = await held.next();
      }
      file = await listed.next();
    }
  }
  await consensus.barrier(signal);
  const stillMissing = await which(missing, async (digest) => isListed(digest) && !isPinned(digest) && !(await isThere(digest)));
  const stillStray = await which(strays, async (digest) => !isExpected(digest) && (await isThere(digest)));
  return {
    files,
    copies,
    missing: stillMissing.slice(0, NAMED_MAX),
    missingCount: stillMissing.length,
    strays: stillStray.slice(0, NAMED_MAX),
    strayCount: stillStray.length,
  };
}

async function* paged(scan: (after: string) => Promise<readonly Digest[]>): AsyncGenerator<Digest> {
  for (let after = ""; ; ) {
    const page = await scan(after);
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = last;
  }
}

async function which(digests: readonly Digest[], holds: (digest: Digest) => Promise<boolean>): Promise<readonly Digest[]> {
  const found: Digest[] = [];
  for (const digest of digests) if (await holds(digest)) found.push(digest);
  return found;
}
