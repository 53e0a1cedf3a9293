import { RaftError } from "./errors.ts";
import { type Entry, entrySize, type Index, type Logger, type Missing, type Snapshot, type Storage, type Term } from "./types.ts";
import { Unstable } from "./unstable.ts";

export interface EntryId {
  readonly index: Index;
  readonly term: Term;
}

/**
 * The whole log: storage below, the unstable end above, and how far it is committed, being applied, and applied.
 * `applied <= applying <= committed <= lastIndex`.
 */
export class RaftLog {
  readonly unstable: Unstable;
  committed: Index;
  applying: Index;
  applied: Index;
  readonly #storage: Storage;
  readonly #log: Logger;
  readonly #applyingBytesMax: number;
  #applyingBytes = 0;
  #applyingPaused = false;

  constructor(storage: Storage, log: Logger, applyingBytesMax: number) {
    this.#storage = storage;
    this.#log = log;
    this.#applyingBytesMax = applyingBytesMax;
    const first = storage.firstIndex();
    this.unstable = new Unstable(storage.lastIndex() + 1, log);
    this.committed = first - 1;
    this.applying = first - 1;
    this.applied = first - 1;
  }

  describe(): string {
    const { offset, offsetInProgress, entries } = this.unstable;
    const indexes = `committed=${this.committed}, applied=${this.applied}, applying=${this.applying}`;
    return `${indexes}, unstable.offset=${offset}, unstable.offsetInProgress=${offsetInProgress}, len(unstable.Entries)=${entries.length}`;
  }

  firstIndex(): Index {
    return this.unstable.firstIndex() ?? this.#storage.firstIndex();
  }

  lastIndex(): Index {
    return this.unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  /** Also answers for the entry before the first, where a snapshot ends. */
  term(index: Index): Term | Missing {
    const unstable = this.unstable.term(index);
    if (unstable !== undefined) return unstable;
    if (index + 1 < this.firstIndex()) return "compacted";
    if (index > this.lastIndex()) return "unavailable";
    return this.#storage.term(index);
  }

  termOrZero(index: Index): Term {
    const term = this.term(index);
    return typeof term === "number" ? term : 0;
  }

  lastEntryId(): EntryId {
    const index = this.lastIndex();
    const term = this.term(index);
    if (typeof term !== "number") {
      throw new RaftError("logCorrupt", `the log's last entry ${index} cannot be read (${term}); this node must be given a new identity`, {
        index,
      });
    }
    return { index, term };
  }

  /** Undefined where nothing is committed, or the log begins behind it. */
  committedEntryId(): EntryId | undefined {
    const term = this.termOrZero(this.committed);
    return term === 0 ? undefined : { index: this.committed, term };
  }

  matches(index: Index, term: Term): boolean {
    return this.term(index) === term;
  }

  /** Raft paper, 5.4.1: the later last term wins, then the longer log. */
  isUpToDate(index: Index, term: Term): boolean {
    const last = this.lastEntryId();
    return term > last.term || (term === last.term && index >= last.index);
  }

  /**
   * The follower's half of log matching (Raft paper, 5.3): entries that conflict go, those present already stay, since
   * the message may be an old one.
   * @returns index of the last entry of the message; undefined where the previous entry does not match
   */
  maybeAppend(prevIndex: Index, prevTerm: Term, entries: readonly Entry[], commit: Index): Index | undefined {
    if (!this.matches(prevIndex, prevTerm)) return undefined;
    const lastNew = prevIndex + entries.length;
    const conflict = this.#findConflict(entries);
    if (conflict !== 0) this.append(entries.slice(conflict - prevIndex - 1));
    this.commitTo(Math.min(commit, lastNew));
    return lastNew;
  }

  append(entries: readonly Entry[]): Index {
    const first = entries[0];
    if (first === undefined) return this.lastIndex();
    if (first.index <= this.committed) {
      const facts = { index: first.index, committed: this.committed };
      throw new RaftError(
        "invariantBroken",
        `entry ${first.index} would replace a committed one (committed ${this.committed}); the node must stop`,
        facts,
      );
    }
    this.unstable.truncateAndAppend(entries);
    return this.lastIndex();
  }

  /** Largest index at most `index` whose term is at most `term`, with its own term; term 0 where it cannot be read. */
  findConflictByTerm(index: Index, term: Term): EntryId {
    for (let at = index; at > 0; at -= 1) {
      const own = this.term(at);
      if (typeof own !== "number") return { index: at, term: 0 };
      if (own <= term) return { index: at, term: own };
    }
    return { index: 0, term: 0 };
  }

  /** Raft paper, 5.4.2 and figure 8: only an entry of the leader's own term is committed by counting. */
  maybeCommit(index: Index, term: Term): boolean {
    if (term === 0 || index <= this.committed || !this.matches(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  commitTo(index: Index): void {
    if (index <= this.committed) return;
    const last = this.lastIndex();
    if (index > last) {
      const text = `told to commit ${index} but the log ends at ${last}: entries that this node acknowledged are gone; it must be given a new identity`;
      throw new RaftError("logCorrupt", text, { commit: index, last });
    }
    this.committed = index;
  }

  /** @param allowUnstable whether entries may be applied before storage has confirmed them */
  hasNextCommitted(allowUnstable: boolean): boolean {
    return this.#nextCommittedEnd(allowUnstable) > this.applying + 1;
  }

  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    const end = this.#nextCommittedEnd(allowUnstable);
    if (end <= this.applying + 1) return [];
    const entries = this.slice(this.applying + 1, end, this.#applyingBytesMax - this.#applyingBytes);
    if (typeof entries === "string") throw this.#unreadable(this.applying + 1, end, entries);
    return entries;
  }

  acceptApplying(index: Index, bytes: number, allowUnstable: boolean): void {
    this.applying = index;
    this.#applyingBytes += bytes;
    // Paused too where the size limit cut the batch short: the rest waits until this part is acknowledged.
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax || index < this.#maxAppliable(allowUnstable);
  }

  appliedTo(index: Index, bytes: number): void {
    if (index > this.committed || index < this.applied) {
      const facts = { index, applied: this.applied, committed: this.committed };
      throw new RaftError("invariantBroken", `applied ${index} is outside ${this.applied} to ${this.committed}; the node must stop`, facts);
    }
    this.applied = index;
    this.applying = Math.max(this.applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax;
  }

  /** A snapshot that storage has not confirmed blocks applying and campaigning. */
  hasPendingSnapshot(): boolean {
    return this.unstable.snapshot !== undefined;
  }

  snapshot(): Snapshot | "unavailable" {
    return this.unstable.snapshot ?? this.#storage.snapshot();
  }

  restore(snapshot: Snapshot): void {
    const { index, term } = snapshot.meta;
    this.#log("info", () => `log [${this.describe()}] starts to restore snapshot [index: ${index}, term: ${term}]`);
    this.committed = index;
    this.unstable.restore(snapshot);
  }

  entries(from: Index, maxBytes: number): readonly Entry[] | Missing {
    const last = this.lastIndex();
    return from > last ? [] : this.slice(from, last + 1, maxBytes);
  }

  /** Calls `visit` for each entry of `[lo, hi)`, a page at a time, until it returns true. */
  scan(lo: Index, hi: Index, pageBytes: number, visit: (entry: Entry) => boolean): void {
    for (let at = lo; at < hi; ) {
      const page = this.slice(at, hi, pageBytes);
      if (typeof page === "string" || page.length === 0) throw this.#unreadable(at, hi, "unavailable");
      for (const entry of page) if (visit(entry)) return;
      at += page.length;
    }
  }

  /** Entries of `[lo, hi)` of at most `maxBytes`, but at least one. */
  slice(lo: Index, hi: Index, maxBytes: number): readonly Entry[] | Missing {
    if (lo >= hi) return [];
    if (lo < this.firstIndex()) return "compacted";
    const offset = this.unstable.offset;
    if (lo >= offset) return limitSize(this.unstable.entries, lo - offset, hi - offset, maxBytes);
    const cut = Math.min(hi, offset);
    const stored = this.#storage.entries(lo, cut, maxBytes);
    if (typeof stored === "string" || hi <= offset || stored.length < cut - lo) return stored;
    const bytes = sizeOf(stored);
    const head = this.unstable.entries[0];
    if (head === undefined || bytes + entrySize(head) > maxBytes) return stored;
    return [...stored, ...limitSize(this.unstable.entries, 0, hi - offset, maxBytes - bytes)];
  }

  #findConflict(entries: readonly Entry[]): Index {
    for (const { index, term } of entries) {
      if (this.matches(index, term)) continue;
      if (index <= this.lastIndex()) {
        this.#log("info", () => `found conflict at index ${index} [existing term: ${this.termOrZero(index)}, conflicting term: ${term}]`);
      }
      return index;
    }
    return 0;
  }

  #nextCommittedEnd(allowUnstable: boolean): Index {
    return this.#applyingPaused || this.hasPendingSnapshot() ? 0 : this.#maxAppliable(allowUnstable) + 1;
  }

  #maxAppliable(allowUnstable: boolean): Index {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);
  }

  #unreadable(lo: Index, hi: Index, missing: Missing): RaftError {
    const text = `entries ${lo} to ${hi - 1} cannot be read (${missing}), though they are committed and not applied; this node must be given a new identity`;
    return new RaftError("logCorrupt", text, { lo, hi });
  }
}

export function sizeOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entrySize(entry);
  return bytes;
}

/** `entries[lo, hi)` cut to `maxBytes`, but at least one. */
export function limitSize(entries: readonly Entry[], lo: number, hi: number, maxBytes: number): readonly Entry[] {
  if (maxBytes === Number.POSITIVE_INFINITY) return entries.slice(lo, hi);
  let bytes = 0;
  let end = lo;
  for (; end < hi; end += 1) {
    bytes += entrySize(entries[end] as Entry);
    if (bytes > maxBytes && end > lo) break;
  }
  return entries.slice(lo, end);
}
