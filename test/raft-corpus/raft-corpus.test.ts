import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { corpusFiles, describeMismatch, runFile } from "./corpus.ts";
import { DIRECTIVES } from "./directives.ts";
import { parseDirectives } from "./parser.ts";

const GIVEN = process.env.RAFT_CORPUS ?? join(import.meta.dirname, "../../../shared/raft/etcd-testdata");
const OWN = join(import.meta.dirname, "own");
const given = corpusFiles(GIVEN);
const own = corpusFiles(OWN);

// Random election timeouts differ by seed; the transcripts must not.
const SEEDS = [1, 2, 3];

function differences(file: string): string[] {
  const mismatches = SEEDS.map((seed) => runFile(file, seed)).filter((mismatch) => mismatch !== undefined);
  return mismatches.map(describeMismatch);
}

test.each(given.map((file) => relative(GIVEN, file)))("the core answers %s of etcd-io/raft byte for byte", (name) => {
  expect(differences(join(GIVEN, name))).toEqual([]);
});

test.each(own.map((file) => relative(OWN, file)))("the core answers own/%s byte for byte", (name) => {
  expect(differences(join(OWN, name))).toEqual([]);
});

test("each own transcript says at its top which rule it pins", () => {
  expect(own.filter((file) => !readFileSync(file, "utf8").startsWith("# "))).toEqual([]);
});

test("every directive of the harness, and every option of each, is exercised by an own transcript", () => {
  const used = new Map<string, Set<string>>();
  for (const file of own) {
    for (const { command, args } of parseDirectives(readFileSync(file, "utf8"))) {
      const options = used.get(command) ?? new Set();
      for (const { key, values } of args) if (values.length > 0) options.add(key);
      used.set(command, options);
    }
  }
  const missing = Object.entries(DIRECTIVES).flatMap(([command, { options }]) => {
    const seen = used.get(command);
    return seen === undefined ? [command] : options.filter((key) => !seen.has(key)).map((key) => `${command} ${key}=`);
  });
  expect(missing).toEqual([]);
});

if (given.length === 0) {
  test.skip("SKIPPED: the transcripts of etcd-io/raft are not beside this checkout (../shared/raft/etcd-testdata)", () => {});
}
