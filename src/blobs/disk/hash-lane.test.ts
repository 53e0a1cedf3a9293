import { mkdtemp, readdir, rm } from "node:fs/promises";
import module from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Reply } from "./hash-engine.ts";
import { startThread } from "./hash-lane.ts";

test("a thread takes the compile cache of its process, and leaves there what it has compiled", async () => {
  const folder = await mkdtemp(join(tmpdir(), "roadstead-cache-"));
  module.enableCompileCache(folder);
  const reply = Promise.withResolvers<Reply>();
  const ended = Promise.withResolvers<Error>();
  const lane = startThread(reply.resolve, ended.resolve);
  lane.post({ id: 1, command: { type: "whole", job: 1, algorithm: "sha256" } });
  expect(await reply.promise).toEqual({ id: 1, hashes: [] });
  await lane.close();
  await ended.promise;
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThan(0);
  await rm(folder, { recursive: true, force: true });
});
