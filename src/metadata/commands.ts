import type { Digest } from "../core/digest.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { PieceHash } from "../core/pieces.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { AuditNote, BootId, CatalogTime, CollectRun, Durability, Edge, Lifetimes, ProjectRules, Start } from "./records.ts";

/** The highest command schema that this program can propose and apply. */
export const COMMAND_VERSION = 1;

/** Links that one `lease.renewLinks` may name, so that an entry stays small work. */
export const RENEWED_LINKS_MAX = 256;

/** Notes that one `audit.note` may carry. */
export const AUDIT_NOTES_MAX = 64;
/** Characters that the fields of a note may have. */
export const AUDIT_LENGTHS = { action: 64, target: 256, detail: 512 } as const;

export interface MemberFacts {
  readonly peerId: PeerId;
  readonly name: string;
  readonly zone: string;
  readonly capacity: number;
  readonly addresses: readonly string[];
  readonly http: string;
  readonly versionMax: number;
}

export type ClusterCommand =
  | {
      readonly type: "cluster.init";
      readonly clusterId: string;
      readonly publicKey: Uint8Array;
      readonly member: MemberFacts;
      readonly durability?: Durability;
      readonly lifetimes?: Lifetimes;
    }
  | { readonly type: "cluster.raise"; readonly version: number }
  /**
   * What is left of a cluster whose quorum is gone goes on as a new one, from the end of one survivor's log. No leader proposes it: it is written into that log
   * offline, right after its last entry, and says what that was.
   */
  | {
      readonly type: "cluster.recover";
      readonly from: string;
      readonly clusterId: string;
      readonly publicKey: Uint8Array;
      /** Of the last entry of the old cluster's log. */
      readonly lastTerm: number;
      readonly lastIndex: number;
      /** Members that are lost: struck from the membership and from all copies. */
      readonly lost: readonly RaftId[];
      /** By the old cluster's key: for old members that come back. */
      readonly signature: Uint8Array;
    }
  /** The outcome's `value` is the session: the index of this entry. Refused `incarnation` where a start of the member is known that this one did not follow. */
  | { readonly type: "session.open"; readonly raftId: RaftId; readonly boot?: BootId & Partial<Start> }
  /** Moves catalog time while nothing else is proposed. */
  | { readonly type: "clock.tick" }
  /** All of the project's rules, in the place of those before. */
  | { readonly type: "project.set"; readonly project: string; readonly rules: ProjectRules }
  /** What no other command tells of, for the audit trail. */
  | { readonly type: "audit.note"; readonly raftId: RaftId; readonly notes: readonly AuditNote[] };

export type MemberCommand =
  /** Use of the token and the membership are one entry, keyed by peer id: a retry is answered again. The outcome's `value` is the raft id. */
  | { readonly type: "member.add"; readonly member: MemberFacts; readonly token: { readonly id: string; readonly hash: Uint8Array } }
  /**
   * A node whose disk was wiped comes back as another member; what lay on the old one is struck in the same entry. Retried and answered as `member.add` is. Refused
   * `memberUp` where the old one is not down, unless `proven` says that the newcomer has shown its key; `count` as for `member.remove`.
   */
  | {
      readonly type: "member.replace";
      readonly old: RaftId;
      readonly member: MemberFacts;
      readonly token: { readonly id: string; readonly hash: Uint8Array };
      readonly proven: boolean;
      readonly lost?: boolean;
    }
  | { readonly type: "member.update"; readonly raftId: RaftId; readonly member: MemberFacts }
  /** Refused `count` where it drains with `keepCount` and fewer than `need` members, neither down nor draining, would stay to take the copies. */
  | {
      readonly type: "member.state";
      readonly raftId: RaftId;
      readonly down?: boolean;
      readonly draining?: boolean;
      readonly keepCount?: boolean;
    }
  /** Strikes its copies everywhere. Refused `count` where it holds a record's only copy, unless `lost` says that this is known. */
  | { readonly type: "member.remove"; readonly raftId: RaftId; readonly lost?: boolean }
  | { readonly type: "token.create"; readonly id: string; readonly hash: Uint8Array; readonly uses: number; readonly ttlMs: number }
  | { readonly type: "token.revoke"; readonly id: string };

export type BlobCommand =
  | {
      readonly type: "blob.commit";
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly sizeBytes: number;
      readonly root: PieceHash;
      readonly copies: readonly RaftId[];
      readonly deadline: CatalogTime;
      /** Names the pins that wait for this commit's outcome. */
      readonly commitId: string;
      /** Set where the bytes came from an upstream: the link keeps it only while nothing was pushed. */
      readonly source?: string;
    }
  | {
      readonly type: "blob.remote";
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly sizeBytes: number;
      readonly source: string;
    }
  | {
      readonly type: "blob.adopt";
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly sizeBytes: number;
      readonly root?: PieceHash;
      readonly copy: RaftId;
    }
  | { readonly type: "blob.mount"; readonly source: RepositoryName; readonly target: RepositoryName; readonly digest: Digest }
  | { readonly type: "blob.unlink"; readonly repository: RepositoryName; readonly digest: Digest }
  /** Renews the lease of a link, or of an untagged manifest. */
  | { readonly type: "lease.renew"; readonly repository: RepositoryName; readonly digest: Digest }
  /** Renews the leases of these links of a repository into which an upload runs; those that are gone are passed over. */
  | { readonly type: "lease.renewLinks"; readonly repository: RepositoryName; readonly digests: readonly Digest[] }
  | { readonly type: "copy.add"; readonly digest: Digest; readonly copy: RaftId; readonly deadline: CatalogTime; readonly commitId: string }
  /** Refused `count` where fewer than `target` others are left, unless the copy is bad; `keepUp`: of members that are neither down nor draining. */
  | { readonly type: "copy.drop"; readonly digest: Digest; readonly copy: RaftId; readonly bad: boolean; readonly keepUp?: boolean }
  | { readonly type: "cache.evict"; readonly digest: Digest };

export type ManifestCommand =
  | {
      readonly type: "manifest.put";
      readonly repository: RepositoryName;
      readonly digest: Digest;
      readonly mediaType: string;
      readonly bytes: Uint8Array;
      readonly tags: readonly Tag[];
      readonly references: readonly Edge[];
      readonly subject?: Digest;
      readonly artifactType?: string;
      readonly annotations?: Readonly<Record<string, string>>;
      /** Compare-and-set of the (one) tag: it must stand at one of these digests; `*` is any. */
      readonly ifMatch?: readonly (Digest | "*")[];
      readonly ifNoneMatch?: readonly (Digest | "*")[];
      /** A sparse index is allowed: missing children do not refuse it. */
      readonly sparse?: boolean;
    }
  | { readonly type: "manifest.delete"; readonly repository: RepositoryName; readonly digest: Digest }
  | { readonly type: "manifest.undelete"; readonly repository: RepositoryName; readonly digest: Digest }
  | { readonly type: "manifest.purge"; readonly repository: RepositoryName; readonly digest: Digest }
  | { readonly type: "tag.delete"; readonly repository: RepositoryName; readonly tag: Tag };

export type CollectCommand =
  /** While it is held the three that follow, and `manifest.purge`, are refused `held`. */
  | { readonly type: "gc.hold"; readonly held: boolean; readonly reason: string }
  | { readonly type: "gc.ran"; readonly run: CollectRun }
  | { readonly type: "gc.unlink"; readonly repository: RepositoryName; readonly digest: Digest }
  | { readonly type: "gc.condemn"; readonly digest: Digest }
  | { readonly type: "gc.deleted"; readonly digest: Digest; readonly copy: RaftId; readonly condemnedAt: number }
  | { readonly type: "gc.reclaim"; readonly digest: Digest; readonly condemnedAt: number };

/** What a proposal carries. A new command does not compile until `apply` decides it. */
export type Command = ClusterCommand | MemberCommand | BlobCommand | ManifestCommand | CollectCommand;

/** Why `apply` changed nothing. The registry turns these into error codes of the distribution-spec. */
export type Refusal =
  | "deadline" // catalog time has passed the command's deadline
  | "need" // a record is short of durable copies: spread it and try again
  | "unknown" // no such record, link, manifest, tag, member or token
  | "missing" // manifest.put: `digest` names a reference that is not there
  | "referenced" // a manifest still names the blob
  | "mismatch" // size or piece root differ from what the record says
  | "precondition" // If-Match or If-None-Match does not hold
  | "state" // the record's state does not allow it
  | "busy" // gc: referenced again, leased or in grace
  | "count" // a drop would leave too few copies
  | "quota" // the project's quota would be exceeded
  | "immutable" // a tag that may not move or go
  | "protected" // nothing is deleted in the repository
  | "held" // gc: until it is released nothing is deleted
  | "stale" // gc: of an earlier condemning
  | "tokenWrong" // no such join token, or not its secret: which of the two is not said
  | "tokenUsedUp" // these three only to one who has proven the secret
  | "tokenExpired"
  | "tokenRevoked"
  | "nameTaken" // another member has the name
  | "addressTaken" // a member that is not down listens there
  | "memberUp" // member.replace: the old one is not down
  | "incarnation" // session.open: of a start that is not the member's newest
  | "session" // unknown session: never applied blindly
  | "version"; // newer than `cluster.version`

/** What `apply` answers, the same on every node; kept in the session table for retries. */
export interface Outcome {
  readonly refused?: Refusal;
  /** The digest that a refusal is about. */
  readonly digest?: Digest;
  /** `session.open`: the session; `member.add`, `member.replace`: the raft id; `manifest.put`: 1 where the manifest is new. */
  readonly value?: number;
  /** Index of the entry that decided it. */
  readonly index: number;
}
