import type { Digest } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { type Context, within } from "./context.ts";
import { cutOffError } from "./freshness.ts";
import { assertAccepted } from "./outcomes.ts";
import { assertWithinQuota } from "./quota.ts";
import type { Caller } from "./registry.ts";

/**
 * Links the blob into `target`. Without `from`, any repository that shows it will do: until there are users, every caller may read every one.
 * @returns undefined where the client has to upload (http-rules 10)
 */
export async function mountBlob(
  { clock, consensus, limits, spreader }: Context,
  caller: Caller,
  target: RepositoryName,
  digest: Digest,
  from: RepositoryName | undefined,
  signal: AbortSignal,
): Promise<{ readonly digest: Digest } | undefined> {
  if ((await consensus.barrier(signal)) === "cutOff") throw cutOffError("this node is cut off from the cluster and takes no writes");
  const { catalog } = consensus;
  const source = catalog.link(target, digest) === undefined ? (from ?? (await catalog.repositoriesLinking(digest, "", 1))[0]) : target;
  const record = source === undefined || catalog.link(source, digest) === undefined ? undefined : catalog.blob(digest);
  if (source === undefined || record?.state !== "live") return undefined;
  const copies = catalog.holders(record).length;
  if (copies === 0) return undefined; // lost: it has to be brought again
  if (copies < catalog.need()) {
    await within(clock, limits.deadlineMs, signal, (limited) => spreader.spreadNow(digest, limited));
  }
  const outcome = await consensus.propose({ type: "blob.mount", source, target, digest }, { signal, principal: caller.principal });
  if (outcome.refused === "unknown") return undefined; // it went in the meantime
  assertWithinQuota(catalog, target, outcome);
  assertAccepted(outcome, "BLOB_UNKNOWN", { repository: target, digest });
  return { digest };
}
