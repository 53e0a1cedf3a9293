import { decodeConfChange } from "../../src/raft/conf-change.ts";
import { MemoryStorage } from "../../src/raft/memory-storage.ts";
import { RawNode } from "../../src/raft/raw-node.ts";
import {
  type Config,
  type Entry,
  type HardState,
  isEmptyHardState,
  type Snapshot,
  type StorageAppend,
  type StorageApply,
} from "../../src/raft/types.ts";
import { HarnessError } from "./harness-error.ts";

/** Hands out the newest applied state, however far the log itself was cut. */
class HistoryStorage extends MemoryStorage {
  readonly history: Snapshot[];

  constructor(first: Snapshot) {
    super();
    this.history = [first];
    if (first.meta.index > 0) this.applySnapshot(first);
  }

  override snapshot(): Snapshot {
    return this.history.at(-1) as Snapshot;
  }
}

/** A node of the harness: the core under test, its storage, and the queues of its storage threads. */
export class ClusterNode {
  readonly id: number;
  readonly raw: RawNode;
  readonly storage: HistoryStorage;
  readonly isAsync: boolean;
  readonly appendWork: StorageAppend[] = [];
  readonly applyWork: StorageApply[] = [];

  constructor(config: Omit<Config, "storage">, first: Snapshot) {
    this.id = config.id;
    this.isAsync = config.asyncStorageWrites ?? false;
    this.storage = new HistoryStorage(first);
    this.raw = new RawNode({ ...config, applied: first.meta.index, storage: this.storage });
  }

  append(hardState: HardState | undefined, entries: readonly Entry[], snapshot: Snapshot | undefined): void {
    if (hardState !== undefined && !isEmptyHardState(hardState)) this.storage.setHardState(hardState);
    if (snapshot === undefined) {
      this.storage.append(entries);
      return;
    }
    if (entries.length > 0) throw new HarnessError("can't apply snapshot and entries at the same time");
    this.storage.applySnapshot(snapshot);
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const last = this.storage.snapshot();
      let confState = last.meta.confState;
      let data = last.data;
      if (entry.type === "normal") {
        data = new Uint8Array([...last.data, ...(entry.data ?? [])]);
      } else {
        const change = decodeConfChange(entry.data);
        data = new Uint8Array([...last.data, ...(change?.context ?? [])]);
        confState = this.raw.applyConfChange(entry.data, entry.index);
      }
      this.storage.history.push({ meta: { index: entry.index, term: entry.term, confState }, data });
    }
  }
}
