import type { BlobFacts } from "../blobs/blob-store.ts";
import type { Digest } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { RaftId } from "../core/peer.ts";
import type { RepositoryName } from "../core/reference.ts";
import type { Outcome } from "../metadata/commands.ts";
import type { Context } from "./context.ts";
import { assertAccepted } from "./outcomes.ts";
import { assertWithinQuota } from "./quota.ts";
import type { Caller } from "./registry.ts";
import type { Commit, Gathered } from "./spreader.ts";

/** Another attempt is made where the membership changed, or catalog time passed the deadline, while the copies were spread. */
const ATTEMPTS = 3;

export interface FinishedUpload {
  readonly repository: RepositoryName;
  /** Of the session, at this node. */
  readonly id: string;
  readonly digest: Digest;
  /** Bytes held: a large blob takes longer to spread. */
  readonly sizeBytes: number;
}

/**
 * Commits an upload of this node: pinned here, durable on `need` members, in the catalog on return (G1; design.md, "The life of a push", 3).
 * The session stands until then, so that a PUT that failed can be sent again.
 * @throws OciError DIGEST_INVALID, BLOB_UPLOAD_UNKNOWN, UNAVAILABLE
 */
export async function commitUpload(context: Context, caller: Caller, upload: FinishedUpload, signal: AbortSignal): Promise<void> {
  const { digest, id, repository, sizeBytes } = upload;
  let outcome: Outcome | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    // each attempt has pins of its own: a commit id that was refused is never proposed again, so its pins may go
    const commit = context.spreader.newCommit(sizeBytes);
    const facts = await context.uploads.finish(id, digest, commit.commitId, signal);
    const gathered = standingCopies(context, digest) ?? (await context.spreader.gather(facts, commit, signal));
    outcome = await proposeCommit(context, caller, repository, facts, commit, gathered, signal);
    if (outcome.refused !== "need" && outcome.refused !== "deadline") break;
    context.log.warn({ digest, refused: outcome.refused, attempt }, "a commit was refused and is tried again");
  }
  if (outcome?.refused === "mismatch")
    context.log.error({ digest }, "what was pushed has the digest of a record of another size or piece root");
  assertWithinQuota(context.consensus.catalog, repository, outcome);
  if (outcome !== undefined) assertAccepted(outcome, "BLOB_UNKNOWN", { repository, digest });
  await context.uploads.complete(id, digest);
}

async function proposeCommit(
  { consensus }: Context,
  { principal }: Caller,
  repository: RepositoryName,
  { digest, sizeBytes, root }: BlobFacts,
  { commitId, deadline }: Commit,
  gathered: Gathered,
  signal: AbortSignal,
): Promise<Outcome> {
  let stands = false;
  try {
    const command = { type: "blob.commit", repository, digest, sizeBytes, root, copies: gathered.copies, deadline, commitId } as const;
    const outcome = await consensus.propose(command, { signal, principal });
    stands = outcome.refused === undefined;
    return outcome;
  } finally {
    if (stands) gathered.committed();
    else gathered.abandon();
  }
}

/**
 * A blob that the cluster keeps already needs no spreading: the commit only links it, and the pin here ends with its deadline unless this node is one of
 * the holders. `apply` checks that the copies still stand; where they do not, the next attempt spreads.
 */
function standingCopies({ consensus, self }: Context, digest: Digest): Gathered | undefined {
  const { catalog } = consensus;
  const record = catalog.blob(digest);
  if (record?.state !== "live") return undefined;
  const holders = catalog.holders(record).map((member) => member.raftId);
  if (holders.length < catalog.need()) return undefined;
  const copies: readonly RaftId[] = holders.includes(self.raftId) ? [self.raftId] : [];
  return { copies, committed: () => undefined, abandon: () => undefined };
}

/** A retried PUT names what was committed, or it is another request. */
export function assertSameDigest(completed: Digest, digest: Digest): void {
  if (completed === digest) return;
  throw new OciError("DIGEST_INVALID", "the upload was finished under another digest", { digest, actual: completed });
}
