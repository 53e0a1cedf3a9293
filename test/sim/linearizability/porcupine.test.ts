import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { afterAll, expect, test } from "vitest";
import { checkLinearizable } from "./check.ts";
import { parseJepsenLog, parseStoreLog } from "./histories.ts";
import { registerModel, storeModel } from "./specifications.ts";

// Histories with verdicts of another checker (anishathalye/porcupine).
const FOLDER = join(import.meta.dirname, "../../../../shared/raft/porcupine-testdata");
const VERDICTS = join(FOLDER, "VERDICTS.json");
const verdicts = existsSync(VERDICTS) ? Object.entries(JSON.parse(readFileSync(VERDICTS, "utf8")) as Record<string, boolean>) : [];

let spentMs = 0;
let configurations = 0;
let checked = 0;

for (const [name, expected] of verdicts) {
  test(`the history ${name} is ${expected ? "" : "not "}linearizable, as porcupine says`, () => {
    const started = performance.now();
    const text = readFileSync(join(FOLDER, "test_data", name), "utf8");
    const verdict = name.startsWith("jepsen/")
      ? checkLinearizable(registerModel, parseJepsenLog(text))
      : checkLinearizable(storeModel, parseStoreLog(text));
    spentMs += performance.now() - started;
    configurations += verdict.configurations;
    checked += 1;
    expect(verdict.ok).toBe(expected);
  });
}

if (verdicts.length === 0) {
  test.skip("SKIPPED: porcupine's histories are not beside this checkout (../shared/raft/porcupine-testdata)", () => {});
}

afterAll(() => {
  if (checked > 0) process.stdout.write(`${checked} histories in ${(spentMs / 1000).toFixed(2)} s, ${configurations} configurations\n`);
});
