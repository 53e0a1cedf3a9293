import type { Digest } from "../core/digest.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";

/** Catalog time in ms: moves only in `apply`, by the stamps of the leader (design.md, Versions, Time). */
export type CatalogTime = number;

export interface Durability {
  /** Copies that a blob is to have: `durability.copies`. */
  readonly copies: number;
  /** Copies that are durable before a push is acknowledged: `durability.acks`. */
  readonly acks: number;
}

/** How long what nothing needs any more stays, in ms of catalog time. */
export interface Lifetimes {
  /** L of design.md: a link, or an untagged manifest, that a pusher was told of. */
  readonly leaseMs: number;
  /** A blob after its last reference went. */
  readonly graceMs: number;
  /** A deleted manifest, until it is purged. */
  readonly trashKeepMs: number;
}

export interface ClusterRecord {
  readonly clusterId: string;
  /** `cluster.version`: the highest command schema that may be proposed. */
  readonly version: number;
  /** SPKI DER of the cluster's Ed25519 public key. */
  readonly publicKey: Uint8Array;
  /** The defaults of the policy where `cluster.init` named none. */
  readonly durability?: Durability | undefined;
  /** Those of the policy where `cluster.init` named none. */
  readonly lifetimes?: Lifetimes | undefined;
  /** The clusters that this one was before it was recovered, the oldest first. */
  readonly former?: readonly FormerCluster[] | undefined;
}

/** A cluster whose quorum was lost, and that goes on as another: what a member of it that comes back is told. */
export interface FormerCluster {
  readonly clusterId: string;
  /** The cluster that it went on as. */
  readonly successor: string;
  readonly lastTerm: number;
  readonly lastIndex: number;
  /** Over all this, by its own key: its members can verify it with what they have. */
  readonly signature: Uint8Array;
}

/** One start of a node. */
export interface BootId {
  /** Its log counts its starts: one more each time, on stable storage before the node says anything. */
  readonly incarnation: number;
  /** Random, 16 hex digits: two runs that a copied disk gave the same number are told apart. */
  readonly nonce: string;
}

/** A start, and what its disk remembers of those before it. */
export interface Start extends BootId {
  /** Their nonces, the newest first and without a gap; at most `STARTS_REMEMBERED`. */
  readonly earlier: readonly string[];
}

/** Starts before its own that a disk remembers and tells. */
export const STARTS_REMEMBERED = 64;

/** What is wrong with a start: a later one is known, another one of its number, or one before it of which its disk knows nothing. */
export type BootFault = "passed" | "copied" | "forked";

/**
 * Whether `known`, a start that was, shows that the disk under `start` was put back or copied. Both are of one member. Where what the disk remembers does
 * not reach back to `known`, nothing can be said.
 */
export function bootFault(start: Start, known: BootId): BootFault | undefined {
  if (start.incarnation < known.incarnation) return "passed";
  if (start.incarnation === known.incarnation) return start.nonce === known.nonce ? undefined : "copied";
  const nonce = start.earlier[start.incarnation - known.incarnation - 1];
  return nonce === undefined || nonce === known.nonce ? undefined : "forked";
}

export interface Member {
  readonly raftId: RaftId;
  readonly peerId: PeerId;
  readonly name: string;
  readonly zone: string;
  /** Relative weight for placement; 1 by default. */
  readonly capacity: number;
  /** Multiaddrs without the `/p2p/` part, dialled in order. */
  readonly addresses: readonly string[];
  /** `host:port` of its HTTP front end, for people. */
  readonly http: string;
  readonly down: boolean;
  /** Since when it is down; undefined while it is up. */
  readonly downSince?: CatalogTime | undefined;
  readonly draining: boolean;
  /** The highest command schema that this member's program can apply. */
  readonly versionMax: number;
}

/** State of a digest across the cluster; absent where there is no record. */
export interface BlobRecord {
  readonly state: "live" | "remote" | "condemned";
  readonly sizeBytes: number;
  /** Piece root; undefined only for an adopted blob before its first read. */
  readonly root: PieceHash | undefined;
  /** Confirmed durable copies. A raft id that is no longer a member counts for nothing: ids are never used again. */
  readonly copies: readonly RaftId[];
  /** Index of the entry that condemned it; 0 otherwise. */
  readonly condemnedAt: number;
  readonly acknowledged: readonly RaftId[];
  /** How many repositories link it, hidden links included. */
  readonly links: number;
  /** How many of those links have a source: `cache.evict` needs all of them to. */
  readonly sourcedLinks?: number;
  /** Adopted with one copy, and exempt from `need` until it has been spread. */
  readonly adopted?: boolean;
}

/** What makes a digest visible in a repository. */
export interface Link {
  /** Edges from live manifests of the repository. */
  readonly references: number;
  /** Edges from manifests in its trash. */
  readonly trashed: number;
  readonly lease: CatalogTime;
  readonly zeroSince: CatalogTime;
  /** Where it came from, for what an upstream gave. */
  readonly source: string | undefined;
  /** A client deleted it while the trash still needs the bytes. */
  readonly hidden: boolean;
}

export interface TagRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

export interface ManifestRecord {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Byte for byte as received. */
  readonly bytes: Uint8Array;
  readonly references: readonly Edge[];
  readonly subject: Digest | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  readonly tags: readonly Tag[];
  /** Lease of a manifest without a tag or parent. */
  readonly lease: CatalogTime;
  /** Set while it lies in the trash: when it may be purged. */
  readonly purgeAfter: CatalogTime | undefined;
}

/** What a manifest names. `blob` and `manifest` must be there (unless a sparse index is allowed); `foreign` need not. */
export interface Edge {
  readonly digest: Digest;
  readonly kind: "blob" | "manifest" | "foreign";
}

/** One row of the referrers answer: a descriptor (distribution-spec 1.1, "Listing Referrers"). */
export interface Referrer {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

export interface JoinTokenRecord {
  readonly id: string;
  /** SHA-256 of the token's secret. */
  readonly hash: Uint8Array;
  /** 0: used up. It is kept so that who comes with it is told why it is good no more. */
  readonly usesLeft: number;
  readonly expiresAt: CatalogTime;
  readonly revoked?: boolean | undefined;
}

/** Something that is to be found again, of which no command of its own tells: a refused join, a bad copy. */
export interface AuditNote {
  /** Wall time of the node that noted it, in ms: for people. */
  readonly atMs: number;
  /** What happened, in dotted words: `join.refused`, `copy.quarantined`. */
  readonly action: string;
  /** What it happened to: a peer, a digest. */
  readonly target: string;
  readonly detail: string;
}

export interface AuditRecord extends AuditNote {
  /** Its place in the trail: it grows without a gap. */
  readonly number: number;
  /** The node that noted it. */
  readonly raftId: RaftId;
}

/** What a run of the garbage collector has done, as it says itself. */
export interface CollectRun {
  /** Wall time of the node that ran it, in ms: for people. */
  readonly startedMs: number;
  readonly endedMs: number;
  /** Manifests out of the trash for good. */
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  /** Freed, or to be freed, on each node. */
  readonly freed: readonly { readonly raftId: RaftId; readonly sizeBytes: number }[];
}

/** Of the garbage collector. */
export interface CollectorRecord {
  /** While it is held nothing is deleted anywhere. */
  readonly held: { readonly since: CatalogTime; readonly reason: string } | undefined;
  /** The latest, the newest first. */
  readonly runs: readonly CollectRun[];
}

export interface Quota {
  /** Of blobs, each once. */
  readonly bytes?: number | undefined;
  /** Warned of from here on. */
  readonly softBytes?: number | undefined;
  /** That hold a manifest. */
  readonly repositories?: number | undefined;
}

/** What a project allows. In a pattern `*` stands for any characters. */
export interface ProjectRules {
  /** Patterns of tags that, once they are there, neither move nor go. */
  readonly immutableTags: readonly string[];
  /** Patterns of names of repositories in which nothing is deleted. */
  readonly protectedRepositories: readonly string[];
  readonly quota: Quota;
}

export interface ProjectUsage {
  readonly sizeBytes: number;
  readonly blobs: number;
  readonly repositories: number;
}

export interface ProjectRecord {
  readonly project: string;
  readonly rules: ProjectRules;
  readonly usage: ProjectUsage;
}

export interface TrashedManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Those that named it when it was deleted. */
  readonly tags: readonly Tag[];
  readonly purgeAfter: CatalogTime;
}

export interface RepositoryRecord {
  readonly name: RepositoryName;
  readonly manifests: number;
  readonly tags: number;
}
