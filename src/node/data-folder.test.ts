import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeDataFolder } from "./data-folder.ts";
import { NodeError } from "./node-error.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-data-"));
  await writeFile(join(folder, "file"), "");
  await symlink(join(folder, "nowhere"), join(folder, "dangling"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a data folder is made with all above it, for this user alone, and may be there already", async () => {
  const data = join(folder, "a", "b");
  for (const _ of [1, 2]) await makeDataFolder(data);
  expect((await stat(data)).mode & 0o777).toBe(0o700);
});

const places: readonly (readonly [place: string, reason: RegExp])[] = [
  ["file", /is no folder/],
  ["file/below", /is no folder/],
  ["dangling", /is no folder/],
  ["n".repeat(300), /the name is too long/],
  ["n\0n", /null bytes/],
  ...(existsSync("/proc/self") ? ([["/proc/roadstead", /nothing can be made there|may not write/]] as const) : []),
  ...(existsSync("/proc/self") ? ([["/proc/roadstead/a/b", /nothing can be made there|may not write/]] as const) : []),
];

test.each(places)("a data folder that cannot be made (%j) ends the start with one line that names the flag", async (place, reason) => {
  const data = place.startsWith("/") ? place : join(folder, place);
  const error = await makeDataFolder(data).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(NodeError);
  const { message } = error as NodeError;
  expect(message).toMatch(reason);
  expect(message).toMatch(/^--data [^\n]*; give a folder in which this user may make files$/);
});
