import { array, assert as check, constant, integer, oneof, property, record } from "fast-check";
import { expect, test } from "vitest";
import { RaftLog, sizeOf } from "./log.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { type Entry, entrySize, type Index, type Snapshot } from "./types.ts";

const UNLIMITED = Number.POSITIVE_INFINITY;

const entriesOf = (from: Index, terms: readonly number[]): Entry[] =>
  terms.map((term, at) => ({ index: from + at, term, type: "normal", data: new Uint8Array((from + at) % 5) }));

function newLog(terms: readonly number[] = []): { log: RaftLog; storage: MemoryStorage } {
  const storage = new MemoryStorage();
  const log = new RaftLog(storage, () => {}, UNLIMITED);
  log.append(entriesOf(1, terms));
  return { log, storage };
}

/** What a driver does with the log: take, store, acknowledge. The acknowledgement may name entries that were replaced since. */
function store({ log, storage }: ReturnType<typeof newLog>): { index: Index; term: number } {
  storage.append(log.unstable.nextEntries());
  log.unstable.acceptInProgress();
  return log.lastEntryId();
}

const size = integer({ min: 0, max: 60 });
const small = integer({ min: 0, max: 12 });
const action = oneof(
  record({ do: constant("append"), back: small, count: integer({ min: 1, max: 4 }) }),
  record({ do: constant("store") }),
  record({ do: constant("acknowledge"), which: small }),
  record({ do: constant("commit"), ahead: small }),
  record({ do: constant("compact"), behind: small }),
  record({ do: constant("read"), lo: small, count: small, maxBytes: size, term: small }),
);

test("a log over a storage that lags behind it, cut at its beginning and replaced at its end, reads like one list", () => {
  check(
    property(array(action, { maxLength: 50 }), (actions) => {
      const both = newLog();
      const { log, storage } = both;
      let model: Entry[] = [];
      let compacted = 0;
      let term = 1;
      const asked: { index: Index; term: number }[] = [];
      for (const each of actions) {
        if (each.do === "append") {
          // A leader of a new term replaces some of what is not committed.
          term += 1;
          const from = Math.max(log.committed, model.length - each.back) + 1;
          const entries = entriesOf(from, new Array(each.count).fill(term));
          model = [...model.slice(0, from - 1), ...entries];
          log.append(entries);
        } else if (each.do === "store" && log.unstable.hasNextEntries()) {
          asked.push(store(both));
        } else if (each.do === "acknowledge") {
          const confirmed = asked[each.which % (asked.length || 1)];
          if (confirmed !== undefined) log.unstable.stableTo(confirmed.index, confirmed.term);
        } else if (each.do === "commit") {
          log.commitTo(Math.min(model.length, log.committed + each.ahead));
        } else if (each.do === "compact") {
          const index = Math.min(log.committed, log.unstable.offset - 1) - each.behind;
          compacted = Math.max(compacted, index);
          storage.compact(compacted);
        } else if (each.do === "read") {
          expectRead(log, model, compacted, each);
        }
        expect(log.firstIndex()).toBe(compacted + 1);
        expect(log.lastIndex()).toBe(model.length);
        expect(log.unstable.offset + log.unstable.entries.length).toBe(model.length + 1);
      }
    }),
  );
});

function expectRead(
  log: RaftLog,
  model: readonly Entry[],
  compacted: Index,
  read: { lo: number; count: number; maxBytes: number; term: number },
): void {
  const lo = Math.max(1, Math.min(read.lo, model.length));
  const hi = Math.min(model.length + 1, lo + read.count);
  const got = log.slice(lo, hi, read.maxBytes);
  if (lo < compacted + 1 && lo < hi) {
    expect(got).toBe("compacted");
  } else {
    const all = model.slice(lo - 1, hi - 1);
    const expected = all.filter((_, at) => at === 0 || sizeOf(all.slice(0, at + 1)) <= read.maxBytes);
    expect(got).toEqual(expected);
  }
  for (let index = compacted; index <= model.length + 1; index += 1) {
    const expected = index === 0 ? 0 : (model[index - 1]?.term ?? "unavailable");
    expect(log.term(index)).toBe(expected);
  }
  if (compacted === 0) {
    const found = model.findLast(({ index, term }) => index <= read.lo && term <= read.term);
    expect(log.findConflictByTerm(Math.min(read.lo, model.length), read.term)).toEqual({
      index: found?.index ?? 0,
      term: found?.term ?? 0,
    });
  }
}

test("an append that conflicts with a committed entry is refused: that would take back what was acknowledged", () => {
  const { log } = newLog([1, 1, 1]);
  log.commitTo(2);
  expect(() => log.append(entriesOf(2, [2]))).toThrow(/would replace a committed one/);
  expect(() => log.maybeAppend(0, 0, entriesOf(1, [2]), 0)).toThrow(/would replace a committed one/);
  expect(() => log.commitTo(4)).toThrow(/told to commit 4 but the log ends at 3/);
  expect(log.append([])).toBe(3);
});

test("what is applied stays between what was applied before and what is committed", () => {
  const { log } = newLog([1, 1, 1]);
  log.commitTo(2);
  log.appliedTo(2, 0);
  expect(() => log.appliedTo(1, 0)).toThrow(/outside 2 to 2/);
  expect(() => log.appliedTo(3, 0)).toThrow(/outside 2 to 2/);
});

test("entries that storage has not confirmed are applied only where that is allowed", () => {
  const both = newLog([1, 1]);
  both.log.commitTo(2);
  expect([both.log.hasNextCommitted(true), both.log.hasNextCommitted(false)]).toEqual([true, false]);
  const { index, term } = store(both);
  both.log.unstable.stableTo(index, term);
  expect(both.log.nextCommitted(false).map((entry) => entry.index)).toEqual([1, 2]);
});

test("an acknowledgement of what a snapshot replaced, or of another entry at the same index, confirms nothing", () => {
  const both = newLog([1, 1, 1]);
  store(both);
  both.log.append(entriesOf(3, [2]));
  both.log.unstable.stableTo(3, 1);
  expect(both.log.unstable.offset).toBe(1);
  const confState = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const snapshot: Snapshot = { meta: { index: 7, term: 2, confState }, data: new Uint8Array(0) };
  both.log.restore(snapshot);
  both.log.unstable.stableTo(3, 2);
  both.log.unstable.stableTo(7, 2);
  expect([both.log.unstable.offset, both.log.lastIndex(), both.log.term(7)]).toEqual([8, 7, 2]);
  both.log.unstable.stableSnapshotTo(6);
  expect(both.log.hasPendingSnapshot()).toBe(true);
  both.log.unstable.stableSnapshotTo(7);
  expect(both.log.hasPendingSnapshot()).toBe(false);
});

test("a size limit counts an entry with its overhead, and never holds back the first", () => {
  const { log } = newLog([1, 1, 1, 1]);
  const [first, second] = entriesOf(1, [1, 1]) as [Entry, Entry];
  const lengths = [0, entrySize(first), entrySize(first) + entrySize(second) - 1, entrySize(first) + entrySize(second)].map((maxBytes) => {
    const entries = log.slice(1, 5, maxBytes);
    return typeof entries === "string" ? entries : entries.length;
  });
  expect(lengths).toEqual([1, 1, 1, 2]);
});
