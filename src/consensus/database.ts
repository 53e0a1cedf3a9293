import type { Fatal } from "./errors.ts";

/** One change of a batch. */
export type Operation =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: string };

export interface Range {
  readonly prefix: string;
  /** Only keys after `prefix + after`. */
  readonly after?: string;
  readonly limit?: number;
}

/** Point reads and ordered reads; keys in the order of their UTF-8 bytes. */
export interface DatabaseView {
  get(key: string): Uint8Array | undefined;
  scan(range: Range): AsyncIterable<readonly [key: string, value: Uint8Array]>;
}

/** An ordered database with atomic batches. Adapters: `level/level-database.ts`, and the simulator's disk. */
export interface Database extends DatabaseView {
  /** Durable when it resolves where `sync` is set; else a crash may lose it, but never a part of it, nor one before it and not it. */
  batch(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void>;
  /** A consistent view, while writing goes on. */
  snapshot(): DatabaseView & { close(): Promise<void> };
  close(): Promise<void>;
}

/** The databases of a catalog: the current one, and another beside it while a snapshot is installed. */
export interface CatalogDatabases {
  readonly current: Database;
  /** An empty database beside the current one. */
  begin(): Promise<Database>;
  /** Makes `fresh` the current one, durably, and drops the old one in the background after `switched` has let go of it. */
  commit(fresh: Database, switched: () => void): Promise<void>;
  discard(fresh: Database): Promise<void>;
  close(): Promise<void>;
}

/**
 * Remembers beside the log how far it was acknowledged: a log that was cut short at its end is whole in itself. It may lag behind, as after a
 * power cut, but never be ahead of what is durable.
 */
export interface LogWitness {
  /** The newest number that was written; 0 where there is none, or it cannot be read. */
  read(): Promise<number>;
  /** At once, into the kernel's memory. A failure is no error: it lags then. */
  write(sequence: number): void;
  close(): Promise<void>;
}

/** Room on the disk of log and catalog. */
export interface Space {
  /** Beside what is kept in reserve. */
  readonly freeBytes: number;
  /** Below this, a node is to take on nothing of its own accord. */
  readonly lowBytes: number;
}

/** Where a node keeps its log and its catalog. */
export interface Storage {
  /** For messages to people: a folder. */
  readonly place: string;
  /**
   * The log's database.
   * @param marker bytes that stand in each synced batch: where one of those may have been lost, the log is damaged
   * @throws ConsensusError logCorrupt, folderInUse or storage
   */
  openLog(marker: Uint8Array): Promise<Database>;
  openWitness?(): Promise<LogWitness>;
  /** @throws ConsensusError catalogCorrupt, folderInUse or storage */
  openCatalog(): Promise<CatalogDatabases>;
  /** Who is told where a read finds that the disk has altered what it holds: the node must end, and look at all of it at its next start. */
  onDamage?(listener: Fatal): void;
  /** As the disk is now; left out where it cannot fill up. */
  readonly space?: () => Promise<Space>;
  /** Marks the catalog, durably, as one that must not be served: the next open finds it damaged. */
  condemnCatalog?(reason: string): Promise<void>;
  /** Keeps a damaged catalog for people to look at, and makes room for an empty one. @returns where it is now */
  setCatalogAside?(): Promise<string>;
}

/** Sixteen hex digits, so that text order is number order. */
export function orderedIndex(index: number): string {
  return index.toString(16).padStart(16, "0");
}

export function parseOrderedIndex(text: string): number {
  return Number.parseInt(text, 16);
}
