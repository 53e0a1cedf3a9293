import type { Digest } from "../core/digest.ts";
import type { PeerId, RaftId } from "../core/peer.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { BlobRecord, CatalogTime } from "../metadata/records.ts";
import { type AppliedCatalog, createCatalog } from "../metadata/store-catalog.ts";
import type { CatalogStore } from "../metadata/view.ts";
import type { AppliedStore, StoreSnapshot } from "./store.ts";

type Snapshotable = CatalogStore & Pick<AppliedStore, "snapshot">;

/** One catalog for its readers, though an installed snapshot replaces everything that was decoded. */
export class ReplaceableCatalog implements AppliedCatalog {
  readonly #store: Snapshotable;
  #current: AppliedCatalog;

  constructor(store: Snapshotable) {
    this.#store = store;
    this.#current = createCatalog(store);
  }

  /** Forgets all that was decoded. */
  replaced(): void {
    this.#current = createCatalog(this.#store);
  }

  /** All of it as it stands, for whoever reads through the whole. Close it. */
  snapshot(): Promise<StoreSnapshot> {
    return this.#store.snapshot();
  }

  changed(keys: readonly string[]) {
    this.#current.changed(keys);
  }
  head() {
    return this.#current.head();
  }
  durability() {
    return this.#current.durability();
  }
  target() {
    return this.#current.target();
  }
  copiesOf(member: RaftId) {
    return this.#current.copiesOf(member);
  }
  copyBytesOf(member: RaftId) {
    return this.#current.copyBytesOf(member);
  }
  heldBy(member: RaftId, after: string, limit: number) {
    return this.#current.heldBy(member, after, limit);
  }
  heldOnlyBy(member: RaftId, after: string, limit: number) {
    return this.#current.heldOnlyBy(member, after, limit);
  }
  project(project: string) {
    return this.#current.project(project);
  }
  projects(after: string, limit: number) {
    return this.#current.projects(after, limit);
  }
  manifests(repository: RepositoryName, after: string, limit: number) {
    return this.#current.manifests(repository, after, limit);
  }
  trash(repository: RepositoryName, after: string, limit: number) {
    return this.#current.trash(repository, after, limit);
  }
  collector() {
    return this.#current.collector();
  }
  garbage() {
    return this.#current.garbage();
  }
  auditTrail(limit: number) {
    return this.#current.auditTrail(limit);
  }
  joinTokens() {
    return this.#current.joinTokens();
  }
  countHeldOnlyBy(members: readonly RaftId[]) {
    return this.#current.countHeldOnlyBy(members);
  }
  lostRecords(after: string, limit: number) {
    return this.#current.lostRecords(after, limit);
  }
  cluster() {
    return this.#current.cluster();
  }
  time() {
    return this.#current.time();
  }
  members() {
    return this.#current.members();
  }
  member(raftId: RaftId) {
    return this.#current.member(raftId);
  }
  wasRemoved(peerId: PeerId) {
    return this.#current.wasRemoved(peerId);
  }
  joinToken(id: string) {
    return this.#current.joinToken(id);
  }
  repository(repository: RepositoryName) {
    return this.#current.repository(repository);
  }
  tag(repository: RepositoryName, tag: Tag) {
    return this.#current.tag(repository, tag);
  }
  manifest(repository: RepositoryName, digest: Digest) {
    return this.#current.manifest(repository, digest);
  }
  link(repository: RepositoryName, digest: Digest) {
    return this.#current.link(repository, digest);
  }
  blob(digest: Digest) {
    return this.#current.blob(digest);
  }
  holders(record: BlobRecord) {
    return this.#current.holders(record);
  }
  need() {
    return this.#current.need();
  }
  tags(repository: RepositoryName, after: string, limit: number) {
    return this.#current.tags(repository, after, limit);
  }
  repositories(after: string, limit: number) {
    return this.#current.repositories(after, limit);
  }
  repositoriesLinking(digest: Digest, after: string, limit: number) {
    return this.#current.repositoriesLinking(digest, after, limit);
  }
  referrers(repository: RepositoryName, subject: Digest, after: string, limit: number) {
    return this.#current.referrers(repository, subject, after, limit);
  }
  leasesEnding(repository: RepositoryName, before: CatalogTime, limit: number) {
    return this.#current.leasesEnding(repository, before, limit);
  }
  shortRecords(after: string, limit: number) {
    return this.#current.shortRecords(after, limit);
  }
}
