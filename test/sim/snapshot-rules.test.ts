import { expect, test } from "vitest";
import { encode } from "../../src/core/codec.ts";
import { SnapshotRules } from "./snapshot-rules.ts";

const rows = (index: number, ...names: string[]): Map<string, Uint8Array> =>
  new Map([["m", encode({ index })], ["s1", Buffer.from(names.join())], ...names.map((name) => [`c${name}`, Buffer.from(name)] as const)]);

function judge(happen: (rules: SnapshotRules) => void): string | undefined {
  let found: string | undefined;
  happen(new SnapshotRules((_, message) => (found ??= message)));
  return found;
}

test("a snapshot that is installed has the rows of the one that was read at its index, neither more nor fewer", () => {
  const sent = (rules: SnapshotRules): void => rules.read(rows(5, "a", "b"));
  expect(judge((rules) => [sent(rules), rules.installed(2, rows(5, "a", "b"))])).toBeUndefined();
  expect(judge((rules) => [sent(rules), rules.installed(2, rows(6, "a"))])).toBeUndefined();
  expect(judge((rules) => [sent(rules), rules.installed(2, rows(5, "a"))])).toContain("without");
  expect(judge((rules) => [sent(rules), rules.installed(2, rows(5, "a", "b", "c"))])).toContain("with more");
  expect(judge((rules) => [sent(rules), rules.installed(2, rows(5, "a", "b").set("ca", Buffer.of(1)))])).toContain("another value");
});
