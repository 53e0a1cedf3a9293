import type { Random } from "../core/random.ts";
import type { CatalogTime } from "../metadata/records.ts";

// A pin is a file name, and its deadline must be known to every node that has one, also after a restart: so the id carries it.

const RANDOM_BYTES = 16;
const COMMIT_ID = /^([0-9a-z]{1,11})-[0-9a-f]{32}$/;
const RADIX = 36;

/** What a commit has for its copies to be spread, at least. */
const COMMIT_MS = 10 * 60_000;
/** And for each byte: a target may be as slow as 1 MB/s. */
const MS_PER_BYTE = 1 / 1_000;

export interface Commit {
  readonly commitId: string;
  readonly deadline: CatalogTime;
}

/** @param sizeBytes of the blob, as it is known */
export function newCommit(now: CatalogTime, sizeBytes: number, random: Random): Commit {
  const deadline = Math.ceil(now + COMMIT_MS + sizeBytes * MS_PER_BYTE);
  return { commitId: `${deadline.toString(RADIX)}-${Buffer.from(random.bytes(RANDOM_BYTES)).toString("hex")}`, deadline };
}

/** Undefined for an id of another form. */
export function deadlineOf(commitId: string): CatalogTime | undefined {
  const match = COMMIT_ID.exec(commitId);
  return match === null ? undefined : Number.parseInt(match[1] ?? "", RADIX);
}
