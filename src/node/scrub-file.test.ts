import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { scrubFile } from "./scrub-file.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-scrub-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("where a scrub stands is there again after a restart; nothing is known at first, nor from a file that is none of its own", async () => {
  expect(await scrubFile(folder).load()).toBeUndefined();
  for (const position of [
    { beganAtMs: 5, after: "sha256:aa", endedAtMs: 4 },
    { beganAtMs: 5, after: undefined, endedAtMs: undefined },
  ]) {
    await scrubFile(folder).save(position);
    expect(await scrubFile(folder).load()).toEqual(position);
  }
  for (const text of ["", "{", "7", "null", "{}", '{"beganAtMs":"5"}']) {
    await writeFile(join(folder, "scrub.json"), text);
    expect(await scrubFile(folder).load()).toBeUndefined();
  }
});
