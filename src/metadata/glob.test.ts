import { expect, test } from "vitest";
import { matchesGlob } from "./glob.ts";

test("a star stands for any characters and none, and a pattern fits the whole text", () => {
  const fits = (pattern: string, ...texts: string[]) => texts.map((text) => matchesGlob(pattern, text));
  expect(fits("v1", "v1", "v10", "av1", "")).toEqual([true, false, false, false]);
  expect(fits("v*", "v", "v1.2", "av")).toEqual([true, true, false]);
  expect(fits("*-rc*", "1-rc", "1-rc.2", "-rc", "rc")).toEqual([true, true, true, false]);
  expect(fits("a*b*a", "aba", "abba", "aa", "ab", "abab", "axbxa")).toEqual([true, true, false, false, false, true]);
  expect(fits("*", "", "anything")).toEqual([true, true]);
  expect(fits("a*a", "a", "aa")).toEqual([false, true]);
});
