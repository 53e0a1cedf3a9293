import type { Start } from "../metadata/records.ts";
import type { CatalogStore, Change } from "../metadata/view.ts";
import type { ConfState, Entry, HardState, Snapshot, SnapshotMeta, Storage } from "../raft/types.ts";

export interface AppliedBatch {
  /** Contiguous, in order, the first one after the applied index; each with the seal as of it, where it has one of its own. */
  readonly entries: readonly { readonly index: number; readonly seal: Uint8Array | undefined }[];
  /** What they changed, by key, as the last one left it; undefined deletes. */
  readonly changes: ReadonlyMap<string, Uint8Array | undefined>;
  /** Term of the last entry. */
  readonly term: number;
  /** The configuration after the batch; the one before where it is left out. */
  readonly confState: ConfState | undefined;
}

/** A consistent state of the catalog, read while applying goes on. */
export interface StoreSnapshot extends CatalogStore {
  readonly meta: SnapshotMeta;
  readonly seal: Uint8Array;
  close(): Promise<void>;
}

/** A snapshot on its way in, beside what is in use. */
export interface Staging {
  write(rows: readonly Change[]): Promise<void>;
  /** All of it has been written: makes it durable. */
  finish(): Promise<void>;
  /**
   * After `finish`: puts it in place of everything; durable on return. Nothing may be applied meanwhile.
   * @param switched called in the turn in which the store begins to answer with it: whoever keeps what it said before must forget that
   */
  commit(switched?: () => void): Promise<void>;
  discard(): Promise<void>;
}

/** The applied state, as the applier writes it. Adapters: `level/catalog-store.ts`, `memory-store.ts`. */
export interface AppliedStore extends CatalogStore {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly confState: ConfState;
  readonly syncedIndex: number;
  /** The applied index at the newest snapshot that was installed here; 0 where none was. */
  readonly installedIndex: number;
  readonly seal: Uint8Array;
  /** Atomic: every read sees it from then on. Not yet durable, and after a crash of the process it may have to be applied again. One at a time. */
  applyBatch(batch: AppliedBatch): Promise<void>;
  sync(): Promise<void>;
  onSynced(listener: (index: number) => void): () => void;
  /** Called for each entry of a batch that was written, with the seal as of it. */
  onSeal(listener: (index: number, seal: Uint8Array) => void): () => void;
  /** Marks the state, durably, as one that must not be served: it is not opened again. */
  condemn?(reason: string): Promise<void>;
  /** A consistent read of everything that has applied, while applying goes on. Close it. */
  snapshot(): Promise<StoreSnapshot>;
  /** Begins to take a snapshot in; what is there stays in use and may go on being applied to. One at a time: end the one before first. */
  stage(meta: SnapshotMeta, seal: Uint8Array): Promise<Staging>;
  close(): Promise<void>;
}

/** Work for the log writer, done in this order: hard state, snapshot, entries, cut. */
export interface LogWork {
  readonly hardState: HardState | undefined;
  /** Its content is installed already: the log begins after it. */
  readonly snapshot: SnapshotMeta | undefined;
  /** Replace whatever is there from the first one's index on. */
  readonly entries: readonly Entry[];
  /** Entries up to here are forgotten. */
  readonly compactTo?: number;
  /** Which start this is, and those before it. */
  readonly start?: Start;
  /** Synced even where nothing in it asks for that. */
  readonly sync?: boolean;
}

/** The durable log. Adapters: `level/raft-log.ts`, `memory-log.ts`. */
export interface RaftLog extends Storage {
  readonly hardState: HardState;
  /** This opening of the log, by its number, and those before it; on stable storage since. */
  readonly start: Start;
  readonly base: { readonly index: number; readonly term: number };
  /** The synthetic snapshot that a new cluster begins with. */
  readonly bootstrap: SnapshotMeta | undefined;
  /** About the bytes of its entries. */
  readonly sizeBytes: number;
  /** What the core asks of storage and only the applied state knows. */
  bind(applied: { readonly appliedIndex: number; readonly confState: ConfState }, makeSnapshot: () => Snapshot | "unavailable"): void;
  append(work: LogWork): Promise<void>;
  compact(index: number): Promise<void>;
  close(): Promise<void>;
}
