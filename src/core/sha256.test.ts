import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { sha256 } from "./sha256.ts";

test("parts hash as if they were one, short or long", () => {
  for (const sizes of [[], [0], [3, 0, 5], [65_536], [65_536, 1], [40_000, 40_000, 7]]) {
    const parts = sizes.map((sizeBytes, at) => Buffer.alloc(sizeBytes, at + 1));
    expect(Buffer.from(sha256(parts)).toString("hex")).toBe(createHash("sha256").update(Buffer.concat(parts)).digest("hex"));
  }
});
