import type { Consensus } from "../consensus/consensus.ts";
import { OciError } from "../core/errors.ts";
import { projectOf, type RepositoryName } from "../core/reference.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { Outcome } from "../metadata/commands.ts";

/** @throws OciError DENIED with what is used and what is allowed, where `apply` refused for the project's quota */
export function assertWithinQuota(catalog: Catalog, repository: RepositoryName, outcome: Outcome | undefined): void {
  if (outcome?.refused === "quota") throw quotaError(catalog, repository);
}

/**
 * Spares a client the upload of what could not be kept: whether it fits is decided when it is committed.
 * @throws OciError DENIED where the project's quota is used up already
 */
export async function assertRoom(consensus: Consensus, repository: RepositoryName, signal: AbortSignal): Promise<void> {
  if (!isFull(consensus.catalog, repository)) return;
  // no negative answer from a state without a barrier
  if ((await consensus.barrier(signal)) === "fresh" && isFull(consensus.catalog, repository))
    throw quotaError(consensus.catalog, repository);
}

function isFull(catalog: Catalog, repository: RepositoryName): boolean {
  const { rules, usage } = catalog.project(projectOf(repository));
  return rules.quota.bytes !== undefined && usage.sizeBytes >= rules.quota.bytes;
}

function quotaError(catalog: Catalog, repository: RepositoryName): OciError {
  const { project, rules, usage } = catalog.project(projectOf(repository));
  const { bytes, repositories } = rules.quota;
  const parts = [
    ...(bytes === undefined ? [] : [`${usage.sizeBytes} of ${bytes} bytes`]),
    ...(repositories === undefined ? [] : [`${usage.repositories} of ${repositories} repositories`]),
  ];
  return new OciError(
    "DENIED",
    `the quota of the project ${project} would be exceeded: it uses ${parts.join(" and ")}; delete something there and wait until it is collected, or ask an administrator for more`,
    {
      project,
      ...(bytes === undefined ? {} : { usedBytes: usage.sizeBytes, allowedBytes: bytes }),
      ...(repositories === undefined ? {} : { usedRepositories: usage.repositories, allowedRepositories: repositories }),
    },
  );
}
