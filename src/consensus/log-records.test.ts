import { expect, test } from "vitest";
import { type RecordDraft, RecordList } from "./log-records.ts";

function listOf(...firsts: number[]): RecordList {
  const list = new RecordList();
  for (const first of firsts) list.push(first);
  return list;
}

function changed(list: RecordList, change: (draft: RecordDraft) => number[]): number[] {
  const draft = list.draft();
  const gone = change(draft);
  list.take(draft);
  return gone;
}

const holders = (list: RecordList, ...indexes: number[]): (number | undefined)[] => indexes.map((index) => list.holding(index));

test("an entry is held by the last record that begins at or before it", () => {
  expect(holders(listOf(5, 9, 10), 4, 5, 8, 9, 10, 99)).toEqual([undefined, 5, 5, 9, 10, 10]);
});

test("a record takes the place of all from its first entry on, also within one batch, and the list changes with the batch alone", () => {
  const list = listOf(5, 9, 12);
  const draft = list.draft();
  expect([draft.append(14), draft.append(15), draft.append(10), draft.append(10)]).toEqual([[], [], [12, 14, 15], [10]]);
  expect(holders(list, 10, 13)).toEqual([9, 12]);
  list.take(draft);
  expect(holders(list, 5, 9, 10, 14)).toEqual([5, 9, 10, 10]);
});

test("a cut takes the records of which nothing is left, those of its own batch too, and the last one only with all of the log", () => {
  const list = listOf(5, 9, 12);
  expect(changed(list, (draft) => draft.cut(10, 14))).toEqual([5]);
  expect(changed(list, (draft) => draft.cut(11, 14))).toEqual([9]);
  expect(changed(list, (draft) => draft.cut(13, 14))).toEqual([]);
  expect(changed(list, (draft) => [...draft.append(15), ...draft.append(17), ...draft.cut(16, 20)])).toEqual([12, 15]);
  expect(changed(list, (draft) => draft.cut(20, 20))).toEqual([17]);
  expect(holders(list, 30)).toEqual([undefined]);
});

test("a snapshot takes all records, and those after it are there", () => {
  const list = listOf(5, 9);
  expect(changed(list, (draft) => [...draft.append(10), ...draft.clear(), ...draft.append(51)])).toEqual([5, 9, 10]);
  expect(holders(list, 50, 51)).toEqual([undefined, 51]);
});
