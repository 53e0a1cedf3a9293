import { LRUCache } from "lru-cache";
import type { Digest } from "../core/digest.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { Catalog } from "./catalog.ts";
import { listAudit, listManifests, listProjects, listTokens, listTrash, readProject } from "./catalog-lists.ts";
import { readRow } from "./draft.ts";
import { type GarbageIndex, garbageIndex } from "./garbage-index.ts";
import {
  blobKey,
  CLUSTER_KEY,
  COLLECTOR_KEY,
  contentKey,
  HEAD_KEY,
  holderPrefix,
  leasePrefix,
  linkedPrefix,
  linkKey,
  MEMBER_PREFIX,
  manifestKey,
  memberKey,
  parseLeaseRest,
  peerKey,
  REPOSITORY_PREFIX,
  ROSTER_KEY,
  referrerPrefix,
  repositoryKey,
  tagKey,
  tagPrefix,
  tokenKey,
  usageKey,
  widthPrefix,
} from "./keys.ts";
import { EMPTY_ROSTER, needOf, targetOf } from "./membership.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import type {
  AuditRecord,
  BlobRecord,
  CatalogTime,
  ClusterRecord,
  CollectorRecord,
  Durability,
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
import {
  BLOB,
  CLUSTER,
  COLLECTOR,
  HEAD,
  type Head,
  LINK,
  MANIFEST,
  MEMBER,
  PEER,
  REFERRER,
  REPOSITORY,
  ROSTER,
  type Roster,
  type Row,
  TAG,
  TOKEN,
  USAGE,
} from "./rows.ts";
import type { CatalogStore } from "./view.ts";

/** What this node knows of its catalog beside what every reader asks for. */
export interface AppliedCatalog extends Catalog {
  /** Called after each batch, once `store.get` answers with it: forgets what was decoded of these keys. */
  changed(keys: readonly string[]): void;
  /** The last entry that was applied; undefined before the first. */
  head(): Head | undefined;
  durability(): Durability;
  /** max(need, min(`copies`, members that are not draining)): how many copies a record is to have. */
  target(): number;
  /** Live records that `member` alone holds, for a removal that asks first; digests strictly after `after`. */
  heldOnlyBy(member: RaftId, after: string, limit: number): Promise<readonly Digest[]>;
  /** How many live records have no copy but on these members. */
  countHeldOnlyBy(members: readonly RaftId[]): Promise<number>;
}

export interface CatalogOptions {
  /** Of decoded records, by the size of what they were decoded from. */
  readonly cacheBytes?: number;
  readonly policy?: Policy;
}

const CACHE_BYTES = 32 * 1024 * 1024;
/** What an object and its place in the cache cost beside the bytes. */
const ENTRY_OVERHEAD_BYTES = 256;
const SCAN_ROWS = 256;
const ABSENT = Symbol("absent");

/** The catalog over this node's applied state. Point reads are answered from a bounded cache of decoded records. */
export function createCatalog(store: CatalogStore, options: CatalogOptions = {}): AppliedCatalog {
  return new StoreCatalog(store, options);
}

interface Membership {
  readonly roster: Roster;
  readonly members: readonly Member[];
  readonly byId: ReadonlyMap<RaftId, Member>;
  readonly durability: Durability;
}

class StoreCatalog implements AppliedCatalog {
  readonly #store: CatalogStore;
  readonly #policy: Policy;
  readonly #cache: LRUCache<string, object | symbol>;
  #membership: Membership | undefined;
  #head: Head | undefined;

  constructor(store: CatalogStore, { cacheBytes = CACHE_BYTES, policy = DEFAULT_POLICY }: CatalogOptions) {
    this.#store = store;
    this.#policy = policy;
    this.#cache = new LRUCache({ maxSize: cacheBytes });
  }

  changed(keys: readonly string[]): void {
    for (const key of keys) {
      this.#cache.delete(key);
      if (key === HEAD_KEY) this.#head = undefined;
      else if (key === ROSTER_KEY || key === CLUSTER_KEY || key.startsWith(MEMBER_PREFIX)) this.#membership = undefined;
    }
  }

  /** @param complete makes of a row what readers get; its cost counts for the cache */
  #read<T extends object, R extends object>(row: Row<T>, key: string, complete: (value: T) => [R, number]): R | undefined {
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached === ABSENT ? undefined : (cached as R);
    const bytes = this.#store.get(key);
    const fixed = key.length + ENTRY_OVERHEAD_BYTES;
    if (bytes === undefined) {
      this.#cache.set(key, ABSENT, { size: fixed });
      return undefined;
    }
    const [value, extraBytes] = complete(row.decode(bytes));
    this.#cache.set(key, value, { size: fixed + bytes.byteLength + extraBytes });
    return value;
  }

  #plain<T extends object>(row: Row<T>, key: string): T | undefined {
    return this.#read<T, T>(row, key, (value) => [value, 0]);
  }

  head(): Head | undefined {
    this.#head ??= readRow(this.#store, HEAD, HEAD_KEY);
    return this.#head;
  }

  time(): CatalogTime {
    return this.head()?.time ?? 0;
  }

  cluster(): ClusterRecord | undefined {
    return this.#plain(CLUSTER, CLUSTER_KEY);
  }

  #members(): Membership {
    this.#membership ??= this.#readMembership();
    return this.#membership;
  }

  #readMembership(): Membership {
    const roster = readRow(this.#store, ROSTER, ROSTER_KEY) ?? EMPTY_ROSTER;
    const members = roster.seats.flatMap((seat) => readRow(this.#store, MEMBER, memberKey(seat.id)) ?? []);
    const durability = this.cluster()?.durability ?? this.#policy.durability;
    return { roster, members, byId: new Map(members.map((member) => [member.raftId, member])), durability };
  }

  members(): readonly Member[] {
    return this.#members().members;
  }

  member(raftId: RaftId): Member | undefined {
    return this.#members().byId.get(raftId);
  }

  wasRemoved(peerId: PeerId): boolean {
    const known = readRow(this.#store, PEER, peerKey(peerId)); // not cached: a stranger has as many ids as it likes
    return known !== undefined && this.member(known.raftId) === undefined;
  }

  durability(): Durability {
    return this.#members().durability;
  }

  need(): number {
    const { roster, durability } = this.#members();
    return needOf(roster, durability);
  }

  target(): number {
    const { roster, durability } = this.#members();
    return targetOf(roster, durability);
  }

  holders(record: BlobRecord): readonly Member[] {
    const { byId } = this.#members();
    return record.copies.flatMap((id) => byId.get(id) ?? []);
  }

  joinToken(id: string): JoinTokenRecord | undefined {
    return readRow(this.#store, TOKEN, tokenKey(id)); // not cached: a stranger chooses the id
  }

  joinTokens(): readonly JoinTokenRecord[] {
    return listTokens(this.#store);
  }

  repository(repository: RepositoryName): RepositoryRecord | undefined {
    return this.#plain(REPOSITORY, repositoryKey(repository));
  }

  tag(repository: RepositoryName, tag: Tag): TagRecord | undefined {
    return this.#plain(TAG, tagKey(repository, tag));
  }

  manifest(repository: RepositoryName, digest: Digest): ManifestRecord | undefined {
    const record = this.#read(MANIFEST, manifestKey(repository, digest), (row): [ManifestRecord, number] => {
      const bytes = this.#store.get(contentKey(repository, digest)) ?? new Uint8Array();
      const { mediaType, references, subject, artifactType, annotations, tags, lease, purgeAfter } = row;
      return [{ digest, mediaType, bytes, references, subject, artifactType, annotations, tags, lease, purgeAfter }, bytes.byteLength];
    });
    return record?.purgeAfter === undefined ? record : undefined;
  }

  link(repository: RepositoryName, digest: Digest): Link | undefined {
    const row = this.#plain(LINK, linkKey(repository, digest));
    return row?.present === true && !row.hidden ? row : undefined;
  }

  blob(digest: Digest): BlobRecord | undefined {
    return this.#plain(BLOB, blobKey(digest));
  }

  async tags(repository: RepositoryName, after: string, limit: number): Promise<readonly Tag[]> {
    const prefix = tagPrefix(repository);
    const rows = await this.#scan(prefix, after, limit);
    return rows.map(([key]) => key.slice(prefix.length) as Tag);
  }

  repositories(after: string, limit: number): Promise<readonly RepositoryName[]> {
    return this.#collect(REPOSITORY_PREFIX, after, limit, (name, value) =>
      REPOSITORY.decode(value).manifests > 0 ? (name as RepositoryName) : undefined,
    );
  }

  async repositoriesLinking(digest: Digest, after: string, limit: number): Promise<readonly RepositoryName[]> {
    const prefix = linkedPrefix(digest);
    const rows = await this.#scan(prefix, after, limit);
    return rows.map(([key]) => key.slice(prefix.length) as RepositoryName);
  }

  async referrers(repository: RepositoryName, subject: Digest, after: string, limit: number): Promise<readonly Referrer[]> {
    const prefix = referrerPrefix(repository, subject);
    const rows = await this.#scan(prefix, after, limit);
    return rows.map(([key, value]) => {
      const { mediaType, sizeBytes, artifactType, annotations } = REFERRER.decode(value);
      return { digest: key.slice(prefix.length) as Digest, mediaType, sizeBytes, artifactType, annotations };
    });
  }

  async leasesEnding(repository: RepositoryName, before: CatalogTime, limit: number): Promise<readonly Digest[]> {
    const prefix = leasePrefix(repository);
    const rows = await this.#scan(prefix, "", limit);
    return rows.map(([key]) => parseLeaseRest(key.slice(prefix.length))).flatMap(({ lease, digest }) => (lease < before ? digest : []));
  }

  /** Records of too few copies stand in the index by their number; those that a removal struck, or a drain is to move, under that member. */
  async shortRecords(after: string, limit: number): Promise<readonly Digest[]> {
    const { roster } = this.#members();
    const target = this.target();
    const leaving = [...roster.removed, ...roster.seats.filter((seat) => seat.draining).map((seat) => seat.id)];
    const prefixes = [...Array.from({ length: target }, (_, copies) => widthPrefix(copies)), ...leaving.map(holderPrefix)];
    const short = (text: string): Digest | undefined => {
      const record = readRow(this.#store, BLOB, blobKey(text as Digest));
      return record?.state === "live" && this.#staying(record) < target ? (text as Digest) : undefined;
    };
    const found = new Set<Digest>();
    for (const prefix of prefixes) for (const digest of await this.#collect(prefix, after, limit, short)) found.add(digest);
    return [...found].sort().slice(0, limit);
  }

  #staying(record: BlobRecord): number {
    return this.holders(record).filter((member) => !member.draining).length;
  }

  project(project: string): ProjectRecord {
    return readProject(this.#store, project);
  }

  projects(after: string, limit: number): Promise<readonly ProjectRecord[]> {
    return listProjects(this.#store, after, limit);
  }

  manifests(repository: RepositoryName, after: string, limit: number): Promise<readonly Digest[]> {
    return listManifests(this.#store, repository, after, limit);
  }

  trash(repository: RepositoryName, after: string, limit: number): Promise<readonly TrashedManifest[]> {
    return listTrash(this.#store, repository, after, limit);
  }

  collector(): CollectorRecord {
    return this.#plain(COLLECTOR, COLLECTOR_KEY) ?? { held: undefined, runs: [] };
  }

  garbage(): GarbageIndex {
    return garbageIndex(this.#store);
  }

  auditTrail(limit: number): readonly AuditRecord[] {
    return listAudit(this.#store, limit);
  }

  copiesOf(member: RaftId): number {
    return this.#plain(USAGE, usageKey(member))?.copies ?? 0;
  }

  copyBytesOf(member: RaftId): number {
    return this.#plain(USAGE, usageKey(member))?.sizeBytes ?? 0;
  }

  heldBy(member: RaftId, after: string, limit: number): Promise<readonly Digest[]> {
    return this.#collect(holderPrefix(member), after, limit, (text) => text as Digest);
  }

  heldOnlyBy(member: RaftId, after: string, limit: number): Promise<readonly Digest[]> {
    return this.#collect(holderPrefix(member), after, limit, (text) => {
      const record = readRow(this.#store, BLOB, blobKey(text as Digest));
      const alone = record?.state === "live" && this.holders(record).every((holder) => holder.raftId === member);
      return alone ? (text as Digest) : undefined;
    });
  }

  async countHeldOnlyBy(members: readonly RaftId[]): Promise<number> {
    let count = 0;
    for (const member of members) {
      // Counted under the first of them alone.
      const found = await this.#collect(holderPrefix(member), "", Number.POSITIVE_INFINITY, (text) => {
        const holders = this.#liveHolders(text as Digest);
        const first = members.find((id) => holders?.includes(id));
        return first === member && holders?.every((id) => members.includes(id)) === true ? true : undefined;
      });
      count += found.length;
    }
    return count;
  }

  /** Records that were left without a copy stand in the indexes under the members that were taken out, or under the number 0. */
  async lostRecords(after: string, limit: number): Promise<readonly Digest[]> {
    const { roster } = this.#members();
    const lost = (text: string): Digest | undefined => (this.#liveHolders(text as Digest)?.length === 0 ? (text as Digest) : undefined);
    const found = new Set<Digest>();
    for (const prefix of [widthPrefix(0), ...roster.removed.map(holderPrefix)])
      for (const digest of await this.#collect(prefix, after, limit, lost)) found.add(digest);
    return [...found].sort().slice(0, limit);
  }

  /** Undefined where the record is not live. */
  #liveHolders(digest: Digest): readonly RaftId[] | undefined {
    const record = readRow(this.#store, BLOB, blobKey(digest));
    return record?.state === "live" ? this.holders(record).map(({ raftId }) => raftId) : undefined;
  }

  async #scan(prefix: string, after: string, limit: number): Promise<readonly (readonly [string, Uint8Array])[]> {
    return limit < 1 ? [] : this.#store.scan(prefix, after, limit);
  }

  /** Scans on until `limit` keys were picked or there are no more. */
  async #collect<T>(
    prefix: string,
    after: string,
    limit: number,
    pick: (rest: string, value: Uint8Array) => T | undefined,
  ): Promise<readonly T[]> {
    const picked: T[] = [];
    let from = after;
    while (picked.length < limit) {
      const rows = await this.#store.scan(prefix, from, SCAN_ROWS);
      for (const [key, value] of rows) {
        const one = pick(key.slice(prefix.length), value);
        if (one !== undefined && picked.push(one) === limit) return picked;
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < SCAN_ROWS) return picked;
      from = last[0].slice(prefix.length);
    }
    return picked;
  }
}
