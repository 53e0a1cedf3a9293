import type { Digest } from "../core/digest.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { GarbageIndex } from "./garbage-index.ts";
import type {
  AuditRecord,
  BlobRecord,
  CatalogTime,
  ClusterRecord,
  CollectorRecord,
  JoinTokenRecord,
  Link,
  ManifestRecord,
  Member,
  ProjectRecord,
  Referrer,
  RepositoryRecord,
  TagRecord,
  TrashedManifest,
} from "./records.ts";

/**
 * The applied state of this node, read. Point reads are synchronous and cached; listings go to the store.
 * A client's read takes `Consensus.barrier()` first: this interface knows nothing of freshness.
 */
export interface Catalog {
  cluster(): ClusterRecord | undefined;
  time(): CatalogTime;
  members(): readonly Member[];
  member(raftId: RaftId): Member | undefined;
  /** Whether it was a member and is out: an identity never comes back. */
  wasRemoved(peerId: PeerId): boolean;
  /** Also one that is good no more, as long as its record is kept. */
  joinToken(id: string): JoinTokenRecord | undefined;
  /** Those that are kept, the oldest first. */
  joinTokens(): readonly JoinTokenRecord[];
  repository(repository: RepositoryName): RepositoryRecord | undefined;
  tag(repository: RepositoryName, tag: Tag): TagRecord | undefined;
  /** Undefined for one in the trash. */
  manifest(repository: RepositoryName, digest: Digest): ManifestRecord | undefined;
  /** Undefined for a hidden one. */
  link(repository: RepositoryName, digest: Digest): Link | undefined;
  blob(digest: Digest): BlobRecord | undefined;
  /** Copies of a record that are members now. */
  holders(record: BlobRecord): readonly Member[];
  /** `need` of G1: min(`acks`, active members). */
  need(): number;
  /** Sorted by bytes; strictly after `after` ("" from the start). */
  tags(repository: RepositoryName, after: string, limit: number): Promise<readonly Tag[]>;
  /** Repositories that hold a manifest, sorted by bytes. */
  repositories(after: string, limit: number): Promise<readonly RepositoryName[]>;
  /** Manifests whose subject is `subject`, whether or not that is there; sorted by digest, strictly after `after`. */
  referrers(repository: RepositoryName, subject: Digest, after: string, limit: number): Promise<readonly Referrer[]>;
  /** Repositories in which the digest is visible, sorted by bytes; for a mount that names no source. */
  repositoriesLinking(digest: Digest, after: string, limit: number): Promise<readonly RepositoryName[]>;
  /** Visible links of the repository that no manifest names and whose lease ends before `before`, soonest first. */
  leasesEnding(repository: RepositoryName, before: CatalogTime, limit: number): Promise<readonly Digest[]>;
  /** Live records with fewer copies than they are to have on members that do not drain, for repair; digests strictly after `after`. */
  shortRecords(after: string, limit: number): Promise<readonly Digest[]>;
  /** Live records of which no member holds a copy: whoever pushes them again heals them. Digests strictly after `after`. */
  lostRecords(after: string, limit: number): Promise<readonly Digest[]>;
  /** How many live records list a copy of this member. */
  copiesOf(member: RaftId): number;
  /** Bytes of those copies. */
  copyBytesOf(member: RaftId): number;
  /** Of one that nobody set, and nothing was pushed to, what holds without a rule. */
  project(project: string): ProjectRecord;
  /** Projects that have rules, or were pushed to; by name, strictly after `after`. */
  projects(after: string, limit: number): Promise<readonly ProjectRecord[]>;
  /** Digests of the repository's manifests, those of the trash left out; strictly after `after`. */
  manifests(repository: RepositoryName, after: string, limit: number): Promise<readonly Digest[]>;
  /** Deleted manifests of the repository that can be taken back. */
  trash(repository: RepositoryName, after: string, limit: number): Promise<readonly TrashedManifest[]>;
  /** Of the garbage collector. */
  collector(): CollectorRecord;
  garbage(): GarbageIndex;
  /** The latest records of the audit trail, the newest first. */
  auditTrail(limit: number): readonly AuditRecord[];
  /** Live records that list a copy of this member; digests strictly after `after`. */
  heldBy(member: RaftId, after: string, limit: number): Promise<readonly Digest[]>;
}
