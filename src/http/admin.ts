/** What an administrator may ask of this node; `node/` implements it. */
export interface Admin {
  status(): Promise<ClusterStatus>;
  /** @returns the token, and the multiaddrs at which a newcomer can reach this cluster */
  createToken(wish: {
    readonly uses: number;
    readonly ttlMs: number;
  }): Promise<{ readonly id: string; readonly token: string; readonly join: readonly string[] }>;
  tokens(): Promise<readonly TokenStatus[]>;
  /** @throws OciError NOT_FOUND */
  revokeToken(id: string): Promise<TokenStatus>;
  /** The newest first. */
  audit(limit: number): Promise<readonly AuditEntry[]>;
  projects(): Promise<readonly ProjectStatus[]>;
  /** Only what is given is changed. */
  setProject(project: string, rules: Partial<ProjectRules>): Promise<ProjectStatus>;
  /** Puts all of its manifests into the trash, with their tags. @throws OciError DENIED where a rule of its project forbids it */
  deleteRepository(repository: string): Promise<Deleted>;
  deleteProject(project: string): Promise<Deleted>;
  trash(repository: string): Promise<readonly TrashEntry[]>;
  /** With its tags. @throws OciError CONFLICT where one of them names another manifest by now */
  restore(repository: string, digest: string): Promise<void>;
  collector(): Promise<CollectorStatus>;
  /** Begins a run on this node, where none goes on there. @throws OciError CONFLICT where the collector is held */
  collect(): Promise<CollectorStatus>;
  /** What a run would free now; nothing is written. */
  foreseeCollection(): Promise<Collected>;
  verification(): Promise<VerificationStatus>;
  /** Begins to compare the catalog with its manifests, and the disks of all nodes with it. */
  verify(): Promise<VerificationStatus>;
  /** Nothing is deleted anywhere until it is released. */
  holdCollector(reason: string): Promise<CollectorStatus>;
  releaseCollector(): Promise<CollectorStatus>;
  /** What a recovery would do. @throws OciError CONFLICT where there is nothing to recover */
  recoveryPlan(): Promise<RecoveryPlan>;
  /** Without a quorum. @param lost names of all the members that do not answer; they are given up for good. @returns before it is done */
  recover(clusterId: string, lost: readonly string[]): Promise<{ readonly clusterId: string; readonly leader: string }>;
  lostBlobs(): Promise<readonly LostBlob[]>;
  /** Nodes are given by name or peer id. @throws OciError with the reason and the way out, as do the next three */
  drain(node: string): Promise<NodeChange>;
  undrain(node: string): Promise<NodeChange>;
  /** @param how `lost`: give up what lies there alone; `force`: also where it is alive and not drained */
  remove(node: string, how: { readonly lost: boolean; readonly force: boolean }): Promise<NodeChange>;
  /** Without a node, to the voter that has applied most. Resolves when it leads. */
  transferLeader(node: string | undefined): Promise<{ readonly leader: string }>;
}

export interface NodeChange {
  readonly node: string;
  /** Copies that the node holds, by the catalog. */
  readonly copies: number;
}

/** A join token, never its secret. */
export interface TokenStatus {
  readonly id: string;
  readonly state: "good" | "used up" | "expired" | "revoked";
  readonly usesLeft: number;
  /** Of catalog time, which stands still without a quorum; 0 where it is over. */
  readonly msLeft: number;
}

/** In a pattern `*` stands for any characters. */
export interface ProjectRules {
  readonly immutableTags: readonly string[];
  readonly protectedRepositories: readonly string[];
  readonly quota: {
    readonly bytes?: number | undefined;
    readonly softBytes?: number | undefined;
    readonly repositories?: number | undefined;
  };
}

export interface ProjectStatus extends ProjectRules {
  readonly project: string;
  /** Of blobs, each once. */
  readonly usedBytes: number;
  readonly blobs: number;
  readonly repositories: number;
}

export interface Deleted {
  readonly repositories: number;
  readonly manifests: number;
}

export interface TrashEntry {
  readonly digest: string;
  readonly mediaType: string;
  readonly bytes: number;
  readonly tags: readonly string[];
  /** Of catalog time, until it is purged. */
  readonly msLeft: number;
}

/** What a run of the garbage collector has freed, or would. */
export interface Collected {
  /** Deleted manifests, out of the trash for good. */
  readonly manifests: number;
  /** Of blobs to repositories. */
  readonly links: number;
  readonly blobs: number;
  /** By node: of files that are gone, or about to go. */
  readonly freed: readonly { readonly node: string; readonly bytes: number }[];
}

export interface Verified {
  readonly startedAt: string;
  readonly endedAt: string;
  readonly manifests: number;
  readonly links: number;
  readonly blobs: number;
  /** How many things are not as they must be; the first hundred in words. */
  readonly found: number;
  readonly findings: readonly string[];
  /** Files and copies of each node; undefined for one that did not answer. */
  readonly nodes: readonly { readonly node: string; readonly files: number | undefined; readonly copies: number | undefined }[];
}

export interface VerificationStatus {
  readonly running: boolean;
  /** Why the last one ended before its time. */
  readonly failure: string | undefined;
  readonly last: Verified | undefined;
}

export interface CollectorStatus {
  /** Why nothing is deleted; undefined where it is not held. */
  readonly held: string | undefined;
  /** Whether a run goes on at the node that answers. */
  readonly running: boolean;
  /** Of that run, or of the last one there. */
  readonly here: Collected | undefined;
  /** Why the last run there ended before its time. */
  readonly failure: string | undefined;
  /** Blobs that are condemned and not reclaimed yet, at most a thousand, and the nodes that have yet to unlink them. */
  readonly condemned: number;
  readonly awaited: readonly string[];
  /** The newest first. */
  readonly runs: readonly (Collected & { readonly startedAt: string; readonly endedAt: string })[];
}

/** A cluster without a quorum, as far as it can be reached. */
export interface RecoveryPlan {
  readonly clusterId: string;
  /** The survivor that the cluster goes on from: its log goes furthest. */
  readonly chosen: string;
  readonly survivors: readonly {
    readonly name: string;
    readonly lastTerm: number;
    readonly lastIndex: number;
    readonly appliedIndex: number;
  }[];
  readonly lost: readonly { readonly name: string; readonly http: string }[];
  /** Blobs of which no survivor holds a copy. */
  readonly lostBlobs: number;
}

/** A blob of which no member holds a copy. */
export interface LostBlob {
  readonly digest: string;
  readonly repositories: readonly string[];
}

export interface AuditEntry {
  readonly number: number;
  /** ISO 8601, by the clock of the node that noted it. */
  readonly at: string;
  readonly node: string;
  readonly action: string;
  readonly target: string;
  readonly detail: string;
}

export interface ClusterStatus {
  readonly clusterId: string;
  /** Name of the leader; undefined where none is known. */
  readonly leader: string | undefined;
  readonly commitIndex: number;
  /** The node that answers has no contact with a majority: what it says may be old. */
  readonly cutOff: boolean;
  readonly nodes: readonly NodeStatus[];
  /** Of which no member holds a copy; counted up to 1,000. */
  readonly lostBlobs: number;
  /** With fewer copies than they are to have; the bytes of those copies. */
  readonly underReplicated: Amount;
  /** With copies elsewhere than where they belong, at the nodes that answer; the bytes that are to be sent. */
  readonly moving: Amount;
  /** Bad copies in the quarantine of the nodes that answer. */
  readonly quarantined: number;
  /** What goes on in the background. */
  readonly tasks: readonly Task[];
  /** Sentences for people: `one copy only`, `writes stop when one is down`. */
  readonly warnings: readonly string[];
}

/** A number of blobs, and bytes of copies of them. */
export interface Amount {
  readonly blobs: number;
  readonly bytes: number;
}

export interface Task {
  readonly kind: "drain" | "repair" | "rebalance" | "snapshot";
  /** The node that drains, or that is sent the catalog. */
  readonly node?: string;
  /** Undefined for a snapshot: its size is known at its end. */
  readonly left?: Amount;
  /** Of a snapshot. */
  readonly sentBytes?: number;
  /** Of late. */
  readonly bytesPerSecond: number;
  /** Undefined while nothing comes forward. */
  readonly msLeft?: number;
}

export interface NodeStatus {
  readonly name: string;
  readonly peerId: string;
  readonly role: "voter" | "learner";
  readonly alive: boolean;
  /** Its copies are being moved to the others. */
  readonly draining: boolean;
  /** Copies that the catalog lists for it. */
  readonly copies: number;
  /** Their bytes. */
  readonly copyBytes: number;
  readonly zone: string;
  readonly addresses: readonly string[];
  readonly http: string;
  /** Undefined where the node that answers does not know. */
  readonly appliedIndex: number | undefined;
  readonly blobs: number | undefined;
  readonly bytes: number | undefined;
  readonly cutOff: boolean | undefined;
  readonly disk: NodeDisk | undefined;
  /** Blobs that it is to move to where they belong. */
  readonly moving: Amount | undefined;
  readonly quarantined: number | undefined;
  readonly scrub: NodeScrub | undefined;
  /** By how much its clock is ahead of that of the node that answers, as far as a round trip lets that be told; undefined where it is not known. */
  readonly clockAheadMs: number | undefined;
}

/** The reading again of every blob on a node. */
export interface NodeScrub {
  readonly running: boolean;
  /** Of the one that runs, from 0 to 1. */
  readonly done: number;
  /** ISO 8601: when the last full one ended, by the node's clock. */
  readonly endedAt: string | undefined;
  /** `durability.scrubRate` is too slow for `durability.scrubEvery`. */
  readonly isLate: boolean;
}

export interface NodeDisk {
  readonly freeBytes: number;
  /** What blobs leave free for the log; 0 where the file system does not tell its size. */
  readonly reserveBytes: number;
  /** `blobs`: no blob is taken; `writes`: no manifest either. */
  readonly low: "no" | "blobs" | "writes";
}
