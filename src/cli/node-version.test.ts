import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { bundledNode, isNodeGoodEnough, runUnder, tooOldLine } from "./node-version.ts";

test("Node 24 and newer will do, older ones are named in one line", () => {
  expect(["v20.20.2", "v23.11.0", "v24.0.0", "v26.1.0"].map(isNodeGoodEnough)).toEqual([false, false, true, true]);
  expect(tooOldLine("v20.20.2", "linux", "x64")).toMatch(/^roadstead needs Node 24 or newer; this is v20\.20\.2 on linux x64\.[^\n]*$/);
});

test("a platform for which npm brings no Node has none", () => {
  expect(bundledNode("darwin", "arm64")).toBeUndefined();
  expect(bundledNode("linux", "riscv64")).toBeUndefined();
});

test.skipIf(process.platform !== "linux" || !["x64", "arm64"].includes(process.arch))(
  "the Node that npm brought is found (Linux x64 and arm64)",
  () => {
    expect(existsSync(bundledNode(process.platform, process.arch) ?? "")).toBe(true);
  },
);

test("the exit code of the other Node is this one's", async () => {
  expect(await runUnder(process.execPath, ["-e", "process.exit(7)"])).toBe(7);
});
