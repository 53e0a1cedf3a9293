import type { Digest } from "../core/digest.ts";
import type { Reference, RepositoryName } from "../core/reference.ts";
import type { Context } from "./context.ts";
import { assertWritable } from "./freshness.ts";
import { assertAccepted } from "./outcomes.ts";
import type { Caller } from "./registry.ts";

/** A tag goes alone; a digest takes its tags with it (http-rules 17). What goes lies in the trash, invisible, for `trash.keep`. */
export async function deleteManifest(
  { consensus }: Context,
  caller: Caller,
  repository: RepositoryName,
  reference: Reference,
  signal: AbortSignal,
): Promise<void> {
  assertWritable(consensus);
  const { tag, digest } = reference;
  const outcome = await consensus.propose(
    digest === undefined ? { type: "tag.delete", repository, tag } : { type: "manifest.delete", repository, digest },
    { signal, principal: caller.principal },
  );
  assertAccepted(outcome, "MANIFEST_UNKNOWN", { repository, reference: digest ?? tag });
}

export async function deleteBlob(
  { consensus }: Context,
  caller: Caller,
  repository: RepositoryName,
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  assertWritable(consensus);
  const outcome = await consensus.propose({ type: "blob.unlink", repository, digest }, { signal, principal: caller.principal });
  assertAccepted(outcome, "BLOB_UNKNOWN", { repository, digest });
}
