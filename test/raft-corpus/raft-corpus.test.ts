import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { corpusFiles, describeMismatch, runFile } from "./corpus.ts";

const FOLDER = process.env.RAFT_CORPUS ?? join(import.meta.dirname, "../../../shared/raft/etcd-testdata");
const files = corpusFiles(FOLDER);

// Random election timeouts differ by seed; the transcripts must not.
const SEEDS = [1, 2, 3];

for (const file of files) {
  test(`the core answers ${relative(FOLDER, file)} byte for byte`, () => {
    for (const seed of SEEDS) {
      const mismatch = runFile(file, seed);
      expect(mismatch === undefined ? "" : describeMismatch(mismatch)).toBe("");
    }
  });
}

if (files.length === 0) {
  test.skip("SKIPPED: the transcripts of etcd-io/raft are not beside this checkout (../shared/raft/etcd-testdata)", () => {});
}
