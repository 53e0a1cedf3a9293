import type { Start } from "../metadata/records.ts";
import { RaftError } from "../raft/errors.ts";
import {
  type ConfState,
  type Entry,
  entrySize,
  type HardState,
  isEmptyHardState,
  type Missing,
  NO_CONFIGURATION,
  type Snapshot,
  type SnapshotMeta,
  type Storage,
} from "../raft/types.ts";
import { type Database, type LogWitness, type Operation, orderedIndex, type Storage as StoragePort } from "./database.ts";
import { EntryTail } from "./entry-tail.ts";
import { ConsensusError, type Fatal } from "./errors.ts";
import { freshMeta, loadLog, loadStart } from "./load-log.ts";
import {
  decodeEntries,
  ENTRY_PREFIX,
  encodeEntries,
  encodeMeta,
  encodeStarts,
  type LogMeta,
  type LogOwner,
  META_KEY,
  STARTS_KEY,
} from "./log-record.ts";
import { type RecordDraft, RecordList } from "./log-records.ts";
import { isNoSpace } from "./patient-writer.ts";
import { SealChain } from "./seal-chain.ts";
import type { LogWork, RaftLog } from "./store.ts";

const LINK = "j";
/** How the key of a batch's link begins in LevelDB's own log: a put, 17 bytes long. */
const LINK_MARKER = Buffer.from(`\x01\x11${LINK}000`, "latin1");
const UNNAMED = "0".repeat(16);
const DELETE_MAX = 4096;
const BATCH_BYTES = 8 * 2 ** 20;
/** From here on a record takes no further entries. */
const RECORD_BYTES = 256 * 1024;

export interface DurableRaftLogOptions {
  readonly storage: StoragePort;
  readonly fatal: Fatal;
  /** A log that has nothing yet begins with this synthetic snapshot of index 1, term 1. */
  readonly bootstrap: ConfState | undefined;
  /** Whose log it is to be: another's is refused, but for that of the same node in `formerCluster`, which is the owner's from then on. */
  readonly owner?: LogOwner;
  readonly formerCluster?: string | undefined;
  /** Names this start: 16 hex digits, drawn at random wherever it speaks to others. */
  readonly nonce?: string;
  /** Bytes of the newest entries kept in memory; 8 MiB by default. */
  readonly tailBytes?: number;
  /** Bytes of entries that share one fsync; 8 MiB by default. */
  readonly batchBytes?: number;
  /** Bytes of batches that LevelDB may not have moved into its tables yet; see `SealChain`. */
  readonly chainBytes?: number;
}

interface Waiting {
  readonly work: LogWork;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

interface Draft {
  hardState: HardState;
  base: { readonly index: number; readonly term: number };
  lastIndex: number;
  sizeBytes: number;
  readonly records: RecordDraft;
  /** The records that this batch writes, by their first index. */
  readonly runs: Map<number, Run>;
}

interface Run {
  readonly entries: Entry[];
  sizeBytes: number;
}

interface Parts {
  readonly database: Database;
  readonly witness: LogWitness | undefined;
  readonly chain: SealChain;
  readonly tail: EntryTail;
  readonly records: RecordList;
  readonly start: Start;
}

/** The durable Raft log on a database of its own. What waits while one fsync runs shares the next (group commit). */
export class DurableRaftLog implements RaftLog, Storage {
  readonly #options: DurableRaftLogOptions;
  readonly #database: Database;
  readonly #witness: LogWitness | undefined;
  readonly #chain: SealChain;
  readonly #tail: EntryTail;
  readonly #records: RecordList;
  readonly start: Start;
  /** The record that was read last: older entries are read one after the other. */
  #decoded: { readonly first: number; readonly entries: readonly Entry[] } | undefined;
  #meta: LogMeta;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failure: ConsensusError | undefined;
  #bound = { appliedIndex: 0, confState: NO_CONFIGURATION };
  #makeSnapshot: () => Snapshot | "unavailable" = () => "unavailable";

  /**
   * Opens the log, checks all of it, and counts this start.
   * @throws ConsensusError logCorrupt, foreignFolder, folderInUse or storage
   */
  static async open(options: DurableRaftLogOptions): Promise<DurableRaftLog> {
    const { storage, owner, formerCluster } = options;
    const database = await storage.openLog(LINK_MARKER);
    const witness = await storage.openWitness?.();
    try {
      const chain = new SealChain(LINK, options.chainBytes ?? 16 * 2 ** 20, 0);
      const tail = new EntryTail(options.tailBytes ?? 8 * 2 ** 20);
      const records = new RecordList();
      const meta = await loadLog({ storage, database, chain, tail, records, witness, owner, formerCluster });
      const before = meta ?? freshMeta(options.bootstrap);
      const start = loadStart(storage, database, before.incarnation, options.nonce ?? UNNAMED);
      const log = new DurableRaftLog(
        options,
        { database, witness, chain, tail, records, start },
        { ...before, owner: owner ?? before.owner, incarnation: start.incarnation },
      );
      // Before this node says anything to anyone.
      await log.append({ hardState: undefined, snapshot: undefined, entries: [], start, sync: true });
      return log;
    } catch (error) {
      await witness?.close();
      await database.close();
      throw error;
    }
  }

  private constructor(options: DurableRaftLogOptions, parts: Parts, meta: LogMeta) {
    this.#options = options;
    this.#database = parts.database;
    this.#witness = parts.witness;
    this.#chain = parts.chain;
    this.#tail = parts.tail;
    this.#records = parts.records;
    this.start = parts.start;
    this.#meta = meta;
  }

  /** What the log begins after. */
  get base(): { readonly index: number; readonly term: number } {
    return this.#meta.base;
  }

  /** The synthetic snapshot of a new cluster, where this log began with one. */
  get bootstrap(): SnapshotMeta | undefined {
    const confState = this.#meta.bootConfState;
    return confState === undefined ? undefined : { index: 1, term: 1, confState };
  }

  get hardState(): HardState {
    return this.#meta.hardState;
  }

  get sizeBytes(): number {
    return this.#meta.sizeBytes;
  }

  bind(applied: { readonly appliedIndex: number; readonly confState: ConfState }, makeSnapshot: () => Snapshot | "unavailable"): void {
    this.#bound = { appliedIndex: applied.appliedIndex, confState: applied.confState };
    this.#makeSnapshot = makeSnapshot;
  }

  /** What has applied was committed, though the hard state that says so may have missed its sync. */
  initialState(): { readonly hardState: HardState | undefined; readonly confState: ConfState } {
    const { hardState } = this.#meta;
    const { appliedIndex, confState } = this.#bound;
    if (isEmptyHardState(hardState)) return { hardState: undefined, confState };
    return { hardState: { ...hardState, commit: Math.max(hardState.commit, appliedIndex) }, confState };
  }

  firstIndex(): number {
    return this.#meta.base.index + 1;
  }

  lastIndex(): number {
    return this.#meta.lastIndex;
  }

  term(index: number): number | Missing {
    const { base, lastIndex } = this.#meta;
    if (index === base.index) return base.term;
    if (index < base.index) return "compacted";
    if (index > lastIndex) return "unavailable";
    return (this.#tail.get(index) ?? this.#read(index)).term;
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | Missing {
    if (lo <= this.#meta.base.index) return "compacted";
    if (hi > this.#meta.lastIndex + 1) return "unavailable";
    const found: Entry[] = [];
    let sizeBytes = 0;
    for (let index = lo; index < hi; index += 1) {
      const entry = this.#tail.get(index) ?? this.#read(index);
      sizeBytes += entrySize(entry);
      if (found.length > 0 && sizeBytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  snapshot(): Snapshot | "unavailable" {
    return this.#makeSnapshot();
  }

  /** Resolves when `work` is durable. A commit index alone only waits to be written with what comes next: a crash may lose it. */
  append(work: LogWork): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise<void>((done, failed) => {
      this.#waiting.push({ work, done, failed });
      this.#writing ??= this.#drain();
    });
  }

  /** Forgets the entries up to `index`, which an applied state on stable storage covers. */
  async compact(index: number): Promise<void> {
    const target = Math.min(index, this.#meta.lastIndex);
    while (this.#meta.base.index < target && this.#failure === undefined) {
      const upTo = Math.min(target, this.#meta.base.index + DELETE_MAX);
      await this.append({ hardState: undefined, snapshot: undefined, entries: [], compactTo: upTo });
    }
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#witness?.close();
    await this.#database.close();
  }

  async #drain(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        // Work that arrives in the same turn of the loop shares the fsync.
        await Promise.resolve();
        const group = this.#takeGroup();
        try {
          await this.#write(group.map((waiting) => waiting.work));
        } catch (error) {
          this.#fail(group, error);
          return;
        }
        for (const waiting of group) waiting.done();
      }
    } finally {
      this.#writing = undefined;
    }
  }

  #takeGroup(): Waiting[] {
    const { batchBytes = BATCH_BYTES } = this.#options;
    let sizeBytes = 0;
    let count = 0;
    for (const { work } of this.#waiting) {
      for (const entry of work.entries) sizeBytes += entrySize(entry);
      if (count > 0 && sizeBytes > batchBytes) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  #fail(group: readonly Waiting[], cause: unknown): void {
    const folder = this.#options.storage.place;
    const message = isNoSpace(cause)
      ? "The disk is full, and no room was left for the Raft log: nothing more can be acknowledged, so the node must end. Free space, then start it again."
      : "A write of the Raft log failed. What is in memory may not be on disk, so the node must end.";
    this.#failure = new ConsensusError("storage", message, { folder }, cause);
    const failed = [...group, ...this.#waiting];
    this.#waiting = [];
    this.#options.fatal(this.#failure);
    for (const waiting of failed) waiting.failed(this.#failure);
  }

  async #write(works: readonly LogWork[]): Promise<void> {
    const before = this.#meta;
    const { hardState, base, lastIndex } = before;
    const draft: Draft = { hardState, base, lastIndex, sizeBytes: before.sizeBytes, records: this.#records.draft(), runs: new Map() };
    const operations = new Map<string, Operation>();
    let sync = false;
    let sizeBytes = 0;
    for (const work of works) {
      sync = this.#plan(work, draft, operations) || sync;
      for (const entry of work.entries) sizeBytes += entrySize(entry);
    }
    if (!sync && operations.size === 0 && draft.base === base) {
      this.#meta = { ...before, hardState: draft.hardState };
      return;
    }
    // What is not synced may be lost from the middle in a crash: it has no place in the chain.
    const sequence = sync ? before.sequence + 1 : before.sequence;
    const links = sync ? this.#chain.append(sequence, new Uint8Array(0), sizeBytes + 256) : [];
    draft.sizeBytes = Math.max(0, draft.sizeBytes + sizeBytes);
    const { records, runs, ...written } = draft;
    for (const [first, { entries }] of runs) operations.set(recordKey(first), put(recordKey(first), encodeEntries(entries)));
    const meta: LogMeta = { ...before, ...written, sequence, checkpoint: this.#chain.checkpoint };
    const batch = [...operations.values(), put(META_KEY, encodeMeta(meta))];
    for (const link of links) batch.push(link.value === undefined ? { type: "del", key: link.key } : put(link.key, link.value));
    await this.#database.batch(batch, { sync });
    this.#meta = meta;
    this.#records.take(records);
    this.#decoded = undefined;
    if (sync) this.#witness?.write(sequence);
    for (const work of works) {
      if (work.snapshot !== undefined) this.#tail.reset(work.snapshot.index + 1);
      this.#tail.append(work.entries);
      if (work.compactTo !== undefined) this.#tail.cut(work.compactTo);
    }
  }

  /** Adds one work's writes; answers whether it needs a sync. */
  #plan(work: LogWork, draft: Draft, operations: Map<string, Operation>): boolean {
    let sync = work.sync === true || work.entries.length > 0 || work.snapshot !== undefined;
    const { hardState, snapshot, compactTo, start } = work;
    if (start !== undefined) operations.set(STARTS_KEY, put(STARTS_KEY, encodeStarts(start)));
    if (hardState !== undefined) {
      sync ||= hardState.term !== draft.hardState.term || hardState.vote !== draft.hardState.vote;
      draft.hardState = hardState;
    }
    if (snapshot !== undefined) {
      drop(draft, draft.records.clear(), operations);
      draft.base = { index: snapshot.index, term: snapshot.term };
      draft.lastIndex = snapshot.index;
      draft.sizeBytes = 0;
      if (draft.hardState.commit < snapshot.index) draft.hardState = { ...draft.hardState, commit: snapshot.index };
      if (draft.hardState.term < snapshot.term) draft.hardState = { term: snapshot.term, vote: 0, commit: draft.hardState.commit };
    }
    addEntries(draft, work.entries, operations);
    if (compactTo !== undefined && compactTo > draft.base.index && compactTo <= draft.lastIndex) {
      const term = termIn(draft.runs, compactTo) ?? this.term(compactTo);
      if (typeof term === "number") {
        draft.sizeBytes *= (draft.lastIndex - compactTo) / (draft.lastIndex - draft.base.index);
        drop(draft, draft.records.cut(compactTo, draft.lastIndex), operations);
        draft.base = { index: compactTo, term };
      }
    }
    return sync;
  }

  #read(index: number): Entry {
    const first = this.#records.holding(index);
    if (first !== undefined && this.#decoded?.first !== first) {
      const value = this.#database.get(recordKey(first));
      this.#decoded = value === undefined ? undefined : { first, entries: decodeEntries(first, value).entries };
    }
    const entry = first === undefined ? undefined : this.#decoded?.entries[index - first];
    if (entry !== undefined) return entry;
    throw new RaftError("logCorrupt", `The entry ${index} of the Raft log is missing or altered.`, { index });
  }
}

/** To the newest record of the batch where they follow it, as a record of their own else. */
function addEntries(draft: Draft, entries: readonly Entry[], operations: Map<string, Operation>): void {
  const [head] = entries;
  if (head === undefined) return;
  const newest = draft.records.added.at(-1);
  let run = newest === undefined || head.index !== draft.lastIndex + 1 ? undefined : draft.runs.get(newest);
  if (run === undefined || run.sizeBytes >= RECORD_BYTES) {
    drop(draft, draft.records.append(head.index), operations);
    run = { entries: [], sizeBytes: 0 };
    draft.runs.set(head.index, run);
  }
  for (const entry of entries) {
    run.entries.push(entry);
    run.sizeBytes += entrySize(entry);
  }
  draft.lastIndex = head.index + entries.length - 1;
}

/** The term of an entry that is in the batch itself: what is on disk may say otherwise. */
function termIn(runs: ReadonlyMap<number, Run>, index: number): number | undefined {
  let term: number | undefined;
  // Of two records that go over the index the later one counts.
  for (const [first, { entries }] of runs) term = entries[index - first]?.term ?? term;
  return term;
}

function put(key: string, value: Uint8Array): Operation {
  return { type: "put", key, value };
}

function recordKey(first: number): string {
  return `${ENTRY_PREFIX}${orderedIndex(first)}`;
}

function drop(draft: Draft, records: readonly number[], operations: Map<string, Operation>): void {
  for (const first of records) {
    draft.runs.delete(first);
    operations.set(recordKey(first), { type: "del", key: recordKey(first) });
  }
}
