import { existsSync } from "node:fs";
import { corpusFiles, describeMismatch, runFile } from "./corpus.ts";

/** `node test/raft-corpus/run.ts [DIR]`: runs every data-driven file under DIR, wherever it comes from. */
function main(folder: string): number {
  const files = corpusFiles(folder);
  if (files.length === 0) {
    const why = existsSync(folder) ? "no file whose name ends in .txt lies in it" : "there is no such file or folder";
    process.stderr.write(`${folder}: ${why}; give the folder of the data-driven files\n`);
  }
  let failed = 0;
  for (const file of files) {
    const mismatch = runFile(file);
    if (mismatch !== undefined) failed += 1;
    process.stdout.write(mismatch === undefined ? `ok   ${file}\n` : `FAIL ${file}: ${describeMismatch(mismatch)}`);
  }
  process.stdout.write(`${files.length - failed} passed, ${failed} failed\n`);
  return failed > 0 || files.length === 0 ? 1 : 0;
}

process.exitCode = main(process.argv[2] ?? "../shared/raft/etcd-testdata");
