import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseSync } from "oxc-parser";
import { describe, expect, test } from "vitest";
import { plant } from "./bug.ts";
import { REQUIRED } from "./bugs/required.ts";
import { ALL, FURTHER } from "./lists.ts";

const ROOT = join(import.meta.dirname, "../..");

function readSource(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

describe("a bug fits the source as it is", () => {
  test.each(ALL)("$number: $name", (bug) => {
    for (const [file, text] of plant(bug, readSource)) {
      expect(text).not.toBe(readSource(file));
      expect(parseSync(file, text).errors).toEqual([]);
    }
  });
});

test("the required bugs are 1 to 20, and no two bugs have the same number or the same effect", () => {
  expect(REQUIRED.map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
  expect(FURTHER.length).toBeGreaterThanOrEqual(20);
  expect(new Set(ALL.map(({ number }) => number)).size).toBe(ALL.length);
  expect(new Set(ALL.map(({ edits }) => JSON.stringify(edits))).size).toBe(ALL.length);
});

test("a bug that the source has moved away from is refused by its number and file", () => {
  const bug = { number: 7, name: "a bug", edits: [{ file: "src/x.ts", find: "two", replace: "three" }] };
  expect(() => plant(bug, () => "one")).toThrow("bug 7 no longer fits src/x.ts: the text to alter is not there");
  expect(() => plant(bug, () => "two two")).toThrow("bug 7 no longer fits src/x.ts: the text to alter is there more than once");
  expect(plant(bug, () => "one two").get("src/x.ts")).toBe("one three");
});
