import { createHash } from "node:crypto";
import type { Random } from "../core/random.ts";
import type { ConfState, Entry, HardState } from "../raft/types.ts";
import type { LogWork, RaftLog } from "./store.ts";

export const SOLE_VOTER: ConfState = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

/** What a Raft log holds, in memory and as plainly as can be: tests hold the durable one to it. */
export class LogModel {
  base: { index: number; term: number };
  hardState: HardState;
  entries: Entry[];

  constructor(base: { index: number; term: number }, hardState: HardState, entries: readonly Entry[]) {
    this.base = base;
    this.hardState = hardState;
    this.entries = [...entries];
  }

  static of(log: RaftLog): LogModel {
    const entries = log.firstIndex() > log.lastIndex() ? [] : log.entries(log.firstIndex(), log.lastIndex() + 1, Number.POSITIVE_INFINITY);
    if (typeof entries === "string") throw new Error(`the log says ${entries} of its own entries`);
    return new LogModel(log.base, log.hardState, entries);
  }

  get lastIndex(): number {
    return this.base.index + this.entries.length;
  }

  get lastTerm(): number {
    return this.entries.at(-1)?.term ?? this.base.term;
  }

  apply({ hardState, snapshot, entries, compactTo }: LogWork): void {
    if (hardState !== undefined) this.hardState = hardState;
    if (snapshot !== undefined) {
      this.base = { index: snapshot.index, term: snapshot.term };
      this.entries = [];
    }
    const first = entries[0];
    if (first !== undefined) {
      this.entries.splice(first.index - this.base.index - 1);
      this.entries.push(...entries);
    }
    if (compactTo !== undefined && compactTo > this.base.index && compactTo <= this.lastIndex) {
      const term = this.entries[compactTo - this.base.index - 1]!.term;
      this.entries.splice(0, compactTo - this.base.index);
      this.base = { index: compactTo, term };
    }
  }

  /** Everything but the commit index, which a crash may set back. */
  digest(): string {
    const hash = createHash("sha256");
    hash.update(JSON.stringify([this.base, this.hardState.term, this.hardState.vote, this.entries.length]));
    for (const { index, term, type, data } of this.entries) {
      hash.update(JSON.stringify([index, term, type, data?.byteLength ?? -1])).update(data ?? new Uint8Array(0));
    }
    return hash.digest("hex");
  }

  /** Something that the core might ask for in this state: entries, some of which replace others, votes, a snapshot, a cut. */
  randomWork(random: Random): LogWork {
    const pick = random.float();
    const { term, vote } = this.hardState;
    const none = { hardState: undefined, snapshot: undefined, entries: [] };
    if (pick < 0.1) return { ...none, hardState: { term: term + 1, vote: 1 + Math.floor(random.float() * 3), commit: this.#commit() } };
    if (pick < 0.15) return { ...none, hardState: { term, vote, commit: this.lastIndex } };
    if (pick < 0.2) return { ...none, compactTo: this.base.index + Math.floor(random.float() * (this.#commit() - this.base.index + 1)) };
    if (pick < 0.22) {
      const index = this.lastIndex + 1 + Math.floor(random.float() * 5);
      return { hardState: { term, vote, commit: index }, snapshot: { index, term, confState: SOLE_VOTER }, entries: [] };
    }
    const replaced = pick < 0.3 && this.lastTerm < term ? Math.floor(random.float() * (this.lastIndex - this.#commit() + 1)) : 0;
    const from = this.lastIndex + 1 - replaced;
    const count = 1 + Math.floor(random.float() * 4);
    return { ...none, entries: Array.from({ length: count }, (_, at) => randomEntry(from + at, term, random)) };
  }

  #commit(): number {
    return Math.min(this.hardState.commit, this.lastIndex);
  }
}

function randomEntry(index: number, term: number, random: Random): Entry {
  const pick = random.float();
  const sizeBytes = Math.floor(random.float() * (pick < 0.05 ? 60_000 : 600));
  return { index, term, type: pick < 0.9 ? "normal" : "confChangeV2", data: pick > 0.95 ? undefined : random.bytes(sizeBytes) };
}
