import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { simulate } from "./simulator.ts";

const NEVER = new AbortController().signal;
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "roadstead-mutants-test-"));
  mkdirSync(join(folder, "test/sim"), { recursive: true });
});

afterEach(() => rmSync(folder, { recursive: true }));

function simulator(code: string): void {
  writeFileSync(join(folder, "test/sim/run.ts"), code);
}

test("the first violation that the simulator prints is the verdict, though the simulator goes on", async () => {
  simulator(
    `process.stdout.write('seed 41: VIOLATION of "one vote a term": twice\\nseed 42: VIOLATION of "x": y\\n'); setInterval(() => {}, 1000);`,
  );
  const { kind, seed, line } = await simulate(folder, 60, NEVER);
  expect([kind, seed, line]).toEqual(["found", 41, '"one vote a term": twice']);
});

test("the time of its processes counts, and ends a simulator that finds nothing", async () => {
  simulator(`import { fork } from "node:child_process";
if (process.argv.includes("spin")) for (;;);
else fork(import.meta.filename, ["spin"]);`);
  const { kind, processorSeconds } = await simulate(folder, 1, NEVER);
  expect(kind).toBe("clean");
  expect(processorSeconds).toBeGreaterThanOrEqual(1);
});

test("a simulator that fails has neither found the bug nor missed it", async () => {
  simulator(`throw new Error("no such module");`);
  expect((await simulate(folder, 60, NEVER)).kind).toBe("broken");
});

test("what is stopped ends at once, with all its processes", async () => {
  simulator("setInterval(() => {}, 1000);");
  expect((await simulate(folder, 60, AbortSignal.abort())).kind).toBe("clean");
});
