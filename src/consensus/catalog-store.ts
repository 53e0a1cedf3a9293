import { LRUCache } from "lru-cache";
import type { Clock } from "../core/clock.ts";
import { decode, encode } from "../core/codec.ts";
import type { ConfState, SnapshotMeta } from "../raft/types.ts";
import { type CatalogDatabases, type Database, type DatabaseView, type Operation, orderedIndex, type Storage } from "./database.ts";
import { ConsensusError, type Fatal } from "./errors.ts";
import { CATALOG, type Loaded, loadCatalog, MARKER, META, type Meta, NO_SEAL, PART, SEAL, sealBytes } from "./load-catalog.ts";
import type { LogOwner } from "./log-record.ts";
import { decodeLink, SealChain } from "./seal-chain.ts";
import type { AppliedBatch, AppliedStore, Staging, StoreSnapshot } from "./store.ts";
import { type Changes, NOT_HERE, WriteBehind } from "./write-behind.ts";

export interface DurableCatalogOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly fatal: Fatal;
  /** Bytes of values kept in memory for point reads. */
  readonly cacheBytes?: number;
  /** How long what has applied may wait before it is written, with what has applied meanwhile; 50 ms by default. */
  readonly writeMs?: number;
  /** Bytes of changes that may wait for that; 4 MiB by default. */
  readonly unwrittenBytes?: number;
  /** How long a batch may wait for its fsync; 1,000 ms by default. */
  readonly syncMs?: number;
  /** How many entries may wait for their fsync; 4,096 by default. */
  readonly syncEntries?: number;
  /** Bytes of batches whose seals are kept; twice LevelDB's write buffers by default. */
  readonly sealBytes?: number;
  /** Applied state of a store that has none yet: the bootstrap's snapshot, or nothing. */
  readonly initial?: SnapshotMeta;
  /** Whose catalog it is to be, as that of the log beside it. */
  readonly owner?: LogOwner;
  /** The cluster whose it may still be: it is the owner's from now on. */
  readonly formerCluster?: string | undefined;
}

const NOTHING = new Uint8Array(0);

/**
 * The catalog on a database of its own (DESIGN.md, "Two databases"). One batch carries changes, seal and applied index, of many entries where many have applied
 * since the one before.
 */
export class DurableCatalog implements AppliedStore {
  readonly #options: DurableCatalogOptions;
  readonly #databases: CatalogDatabases;
  readonly #cache: LRUCache<string, { value: Uint8Array | undefined }>;
  readonly #syncedListeners = new Set<(index: number) => void>();
  readonly #sealListeners = new Set<(index: number, seal: Uint8Array) => void>();
  readonly #unwritten: WriteBehind;
  #database: Database;
  #chain: SealChain;
  #meta: Meta;
  #seal: Uint8Array;
  #syncedIndex: number;
  /** What the database has; `#meta` may be ahead of it. */
  #writtenIndex: number;
  #dirtyEntries = 0;
  #cancelSync: (() => void) | undefined;
  #syncing: Promise<void> | undefined;
  #closed = false;

  /**
   * Opens the store and checks its seals.
   * @throws ConsensusError catalogCorrupt, folderInUse or storage
   */
  static async open(options: DurableCatalogOptions): Promise<DurableCatalog> {
    const databases = await options.storage.openCatalog();
    try {
      const loaded = await loadCatalog(databases.current, options);
      // What LevelDB replayed from its log at open is in tables now, and those are synced: all that was loaded is durable.
      return new DurableCatalog(options, databases, loaded);
    } catch (error) {
      await databases.close();
      throw error;
    }
  }

  private constructor(options: DurableCatalogOptions, databases: CatalogDatabases, loaded: Loaded) {
    this.#options = options;
    this.#databases = databases;
    this.#database = databases.current;
    this.#chain = loaded.chain;
    const { owner = options.owner } = loaded.meta;
    const moves = owner?.raftId === options.owner?.raftId && owner?.clusterId === options.formerCluster;
    this.#meta = { ...loaded.meta, owner: moves ? options.owner : owner };
    this.#seal = loaded.seal;
    this.#syncedIndex = loaded.meta.index;
    this.#writtenIndex = loaded.meta.index;
    this.#unwritten = new WriteBehind({
      clock: options.clock,
      delayMs: options.writeMs ?? 50,
      maxBytes: options.unwrittenBytes ?? 4 * 2 ** 20,
      write: (changes, sync) => this.#writeState(changes, sync),
    });
    this.#cache = new LRUCache<string, { value: Uint8Array | undefined }>({
      maxSize: options.cacheBytes ?? 4 * 2 ** 20,
      maxEntrySize: 2 ** 20,
      sizeCalculation: (entry, key) => (entry.value?.byteLength ?? 0) + key.length * 2 + 128,
    });
  }

  /** As it stands in the database; where nothing does, as it will with the next batch. */
  get owner(): LogOwner | undefined {
    return this.#meta.owner;
  }

  get appliedIndex(): number {
    return this.#meta.index;
  }

  get appliedTerm(): number {
    return this.#meta.term;
  }

  get confState(): ConfState {
    return this.#meta.confState;
  }

  get syncedIndex(): number {
    return this.#syncedIndex;
  }

  get installedIndex(): number {
    return this.#meta.installed;
  }

  /** Hash over every applied entry and what it changed, in order: the same on every member at the same index. */
  get seal(): Uint8Array {
    return this.#seal;
  }

  /** The same array for the same value while it is cached, so that decoders may cache by identity. */
  get(key: string): Uint8Array | undefined {
    const unwritten = this.#unwritten.get(key);
    if (unwritten !== NOT_HERE) return unwritten;
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached.value;
    const value = this.#database.get(CATALOG + key);
    this.#cache.set(key, { value });
    return value;
  }

  async scan(prefix: string, after: string, limit: number): Promise<readonly (readonly [string, Uint8Array])[]> {
    await this.#unwritten.written();
    const database = this.#database;
    try {
      return await scanCatalog(database, prefix, after, limit);
    } catch (error) {
      // A snapshot was installed meanwhile: the state to read is the new one.
      if (database !== this.#database) return scanCatalog(this.#database, prefix, after, limit);
      throw error;
    }
  }

  async applyBatch(batch: AppliedBatch): Promise<void> {
    const last = batch.entries.at(-1);
    if (last === undefined) return;
    await this.#unwritten.room();
    let seal = this.#seal;
    const seals: (readonly [index: number, seal: Uint8Array])[] = [];
    for (const entry of batch.entries) {
      seal = entry.seal ?? seal;
      seals.push([entry.index, seal]);
    }
    this.#meta = { ...this.#meta, index: last.index, term: batch.term, confState: batch.confState ?? this.#meta.confState };
    this.#seal = seal;
    this.#unwritten.add(batch.changes);
    this.#dirtyEntries += batch.entries.length;
    this.#scheduleSync();
    for (const listener of this.#sealListeners) for (const each of seals) listener(...each);
  }

  /** Makes what has been applied durable; at once where it is already. */
  async sync(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    if (this.#syncedIndex >= this.#meta.index) return;
    this.#syncing = this.#syncOnce().finally(() => {
      this.#syncing = undefined;
    });
    await this.#syncing;
  }

  onSynced(listener: (index: number) => void): () => void {
    this.#syncedListeners.add(listener);
    return () => this.#syncedListeners.delete(listener);
  }

  onSeal(listener: (index: number, seal: Uint8Array) => void): () => void {
    this.#sealListeners.add(listener);
    return () => this.#sealListeners.delete(listener);
  }

  async snapshot(): Promise<StoreSnapshot> {
    await this.#unwritten.written();
    const database = this.#database;
    const view = database.snapshot();
    const bytes = view.get(META);
    const meta = bytes === undefined ? this.#meta : (decode(bytes) as Meta);
    const link = view.get(SEAL + orderedIndex(meta.index));
    return {
      meta: { index: meta.index, term: meta.term, confState: meta.confState },
      seal: (link === undefined ? undefined : decodeLink(link)?.value) ?? NO_SEAL,
      get: (key) => view.get(CATALOG + key),
      scan: (prefix, after, limit) => scanCatalog(view, prefix, after, limit),
      close: () => view.close(),
    };
  }

  /** It becomes current by a rename, so a crash at any point leaves the old content or the new one, whole. */
  async stage(snapshot: SnapshotMeta, seal: Uint8Array): Promise<Staging> {
    const { index, term, confState } = snapshot;
    const fresh = await this.#databases.begin();
    const chain = new SealChain(SEAL, sealBytes(this.#options), 0);
    const links = chain.append(index, seal, 0);
    const { owner } = this.#meta;
    let meta: Meta = { owner, index, term, confState, checkpoint: chain.checkpoint, installed: index };
    let parts = 0;
    return {
      write: (rows) => {
        parts += 1;
        const part = operation(PART + orderedIndex(parts), NOTHING);
        return fresh.batch([part, ...rows.map(({ key, value }) => operation(CATALOG + key, value))], { sync: false });
      },
      finish: () => {
        meta = { ...meta, parts };
        return fresh.batch([operation(META, encode(meta)), ...links.map((link) => operation(link.key, link.value))], { sync: true });
      },
      commit: (switched) => this.#replace(fresh, { chain, meta, seal }, switched),
      discard: () => this.#databases.discard(fresh),
    };
  }

  /** Makes the state as it is, of the owner as it is, that of a group with this configuration. Durable on return. */
  async moveToGroup(confState: ConfState): Promise<void> {
    await this.sync();
    this.#meta = { ...this.#meta, confState };
    await this.#write([operation(META, encode({ ...this.#meta, checkpoint: this.#chain.checkpoint }))], true);
  }

  async condemn(reason: string): Promise<void> {
    await this.#options.storage.condemnCatalog?.(reason);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#cancelSync?.();
    await this.sync();
    this.#closed = true;
    await this.#databases.close();
  }

  async #replace(fresh: Database, { chain, meta, seal }: Required<Loaded>, switched: (() => void) | undefined): Promise<void> {
    this.#cancelSync?.();
    this.#cancelSync = undefined;
    while (this.#syncing !== undefined) await this.#syncing;
    await this.#unwritten.written();
    await this.#databases.commit(fresh, () => {
      this.#database = fresh;
      this.#chain = chain;
      this.#meta = meta;
      this.#seal = seal;
      this.#writtenIndex = meta.index;
      this.#cache.clear();
      this.#dirtyEntries = 0;
      switched?.();
    });
    this.#markSynced(meta.index);
  }

  async #syncOnce(): Promise<void> {
    const index = this.#meta.index;
    this.#cancelSync?.();
    this.#cancelSync = undefined;
    this.#dirtyEntries = 0;
    await this.#unwritten.flush(true);
    this.#markSynced(index);
    if (this.#meta.index > index) this.#scheduleSync();
  }

  #scheduleSync(): void {
    if (this.#dirtyEntries >= (this.#options.syncEntries ?? 4096)) {
      if (this.#syncing === undefined) void this.sync().catch(() => undefined);
      return;
    }
    this.#cancelSync ??= this.#options.clock.after(this.#options.syncMs ?? 1_000, () => {
      this.#cancelSync = undefined;
      void this.sync().catch(() => undefined);
    });
  }

  #markSynced(index: number): void {
    if (index <= this.#syncedIndex) return;
    this.#syncedIndex = index;
    for (const listener of this.#syncedListeners) listener(index);
  }

  /** As of now: `changes` are all that has applied since the batch before. */
  async #writeState(changes: Changes, sync: boolean): Promise<void> {
    const { index } = this.#meta;
    if (index === this.#writtenIndex) return this.#write([{ type: "put", key: MARKER, value: encode(index) }], sync);
    const operations: Operation[] = [];
    let sizeBytes = 0;
    for (const [key, value] of changes) {
      operations.push(operation(CATALOG + key, value));
      sizeBytes += key.length + (value?.byteLength ?? 0);
    }
    const links = this.#chain.append(index, this.#seal, sizeBytes + 256);
    const meta: Meta = { ...this.#meta, checkpoint: this.#chain.checkpoint };
    operations.push(operation(META, encode(meta)));
    for (const link of links) operations.push(operation(link.key, link.value));
    await this.#write(operations, sync);
    // Until now reads found them before they looked here.
    for (const [key, value] of changes) if (this.#cache.has(key)) this.#cache.set(key, { value });
    this.#writtenIndex = index;
  }

  async #write(operations: Operation[], sync: boolean): Promise<void> {
    try {
      await this.#database.batch(operations, { sync });
    } catch (error) {
      const failure = new ConsensusError(
        "storage",
        "A write of the catalog failed. What is in memory may not be on disk, so the node must end.",
        { folder: this.#options.storage.place },
        error,
      );
      this.#options.fatal(failure);
      throw failure;
    }
  }
}

function operation(key: string, value: Uint8Array | undefined): Operation {
  return value === undefined ? { type: "del", key } : { type: "put", key, value };
}

async function scanCatalog(database: DatabaseView, prefix: string, after: string, limit: number): Promise<[string, Uint8Array][]> {
  const found: [string, Uint8Array][] = [];
  for await (const [key, value] of database.scan({ prefix: CATALOG + prefix, after, limit }))
    found.push([key.slice(CATALOG.length), value]);
  return found;
}
