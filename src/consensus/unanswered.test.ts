import { expect, test } from "vitest";
import { Unanswered } from "./unanswered.ts";

function fixture(window: number) {
  const unanswered = new Unanswered<{ readonly session: number; readonly sequence: number }>(window);
  unanswered.begin(7);
  const add = (session: number, sequence: number) => {
    const one = { session, sequence };
    unanswered.add(one);
    return one;
  };
  return { unanswered, add };
}

test("the lowest moves on to the next that is there, around the end of the window", () => {
  const { unanswered, add } = fixture(4);
  expect(unanswered.lowest).toBeUndefined();
  const ones = [0, 1, 2, 3].map((sequence) => add(7, sequence));
  expect(unanswered.lowest).toBe(0);
  for (const at of [1, 0]) unanswered.delete(ones[at]!);
  expect(unanswered.lowest).toBe(2);
  const later = [4, 5].map((sequence) => add(7, sequence));
  expect(unanswered.values().map(({ sequence }) => sequence)).toEqual([2, 3, 4, 5]);
  for (const one of [...ones.slice(2), ...later]) expect(unanswered.delete(one)).toBe(true);
  expect([unanswered.lowest, unanswered.size]).toEqual([undefined, 0]);
  add(7, 6);
  expect(unanswered.lowest).toBe(6);
});

test("an answer finds its proposal by session and sequence, also one without a session or of one that has ended", () => {
  const { unanswered, add } = fixture(4);
  const [old, sessionless] = [add(7, 1), add(0, 2 ** 40 + 1)];
  expect(unanswered.get(7, 5)).toBeUndefined();
  expect(unanswered.get(0, 2 ** 40 + 1)).toBe(sessionless);
  unanswered.begin(9);
  expect(unanswered.lowest).toBeUndefined();
  const next = add(9, 0);
  add(9, 1);
  expect(unanswered.get(7, 1)).toBe(old);
  expect(unanswered.get(9, 0)).toBe(next);
  expect(unanswered.size).toBe(4);
  expect(unanswered.delete(old)).toBe(true);
  expect(unanswered.delete(old)).toBe(false);
  expect(unanswered.get(7, 1)).toBeUndefined();
  expect(unanswered.values()).toHaveLength(3);
});
