import type { RepositoryName } from "../core/reference.ts";
import type { CatalogTime, ClusterRecord, Durability, Lifetimes } from "./records.ts";

const HOUR_MS = 3_600_000;

/** What the cluster has decided and no command carries. The same on every node, else their states part: a change of it is a command. */
export interface Policy extends Lifetimes {
  readonly sessionIdleMs: number;
  /** Holds where `cluster.init` named none. */
  readonly durability: Durability;
  /** Whether the repository's project is a proxy, or in lazy migration. */
  readonly allowsRemote: (repository: RepositoryName) => boolean;
  /** Whether the repository's project is being migrated into. */
  readonly allowsAdoption: (repository: RepositoryName) => boolean;
}

export const DEFAULT_POLICY: Policy = {
  leaseMs: 24 * HOUR_MS,
  graceMs: HOUR_MS,
  trashKeepMs: 24 * HOUR_MS,
  sessionIdleMs: 24 * HOUR_MS,
  durability: { copies: 3, acks: 2 },
  allowsRemote: () => false,
  allowsAdoption: () => false,
};

/** `policy`, with what the cluster's record says of it. */
export function policyOf(cluster: ClusterRecord | undefined, policy: Policy): Policy {
  return cluster?.lifetimes === undefined ? policy : { ...policy, ...cluster.lifetimes };
}

/** Where and when a command applies. */
export interface ApplyContext {
  /** Index of the entry. */
  readonly index: number;
  /** Catalog time, the entry's stamp included. */
  readonly time: CatalogTime;
  /** Schema of the command. */
  readonly schema: number;
  readonly policy: Policy;
}
