import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parsePeerId } from "../../core/peer.ts";
import { loadIdentity, readIdentity } from "./identity.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-identity-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("the first start makes an identity, and each later one finds the same", async () => {
  expect(await readIdentity(folder)).toBeUndefined();
  const made = await loadIdentity(folder);
  expect(parsePeerId(made.peerId)).toBe(made.peerId);
  expect((await loadIdentity(folder)).peerId).toBe(made.peerId);
  expect((await readIdentity(folder))?.peerId).toBe(made.peerId);
});

test("the key is 0600, also after something opened it, and nothing else is left in the folder", async () => {
  await loadIdentity(folder);
  const path = join(folder, "identity.key");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await chmod(path, 0o644);
  await loadIdentity(folder);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(["identity.key"]);
});

test("two starts at once agree on one identity", async () => {
  const [a, b] = await Promise.all([loadIdentity(folder), loadIdentity(folder)]);
  expect(a.peerId).toBe(b.peerId);
});

test("a file that is no key is refused with its name, and kept as it is", async () => {
  const path = join(folder, "identity.key");
  await writeFile(path, "not a key");
  await expect(loadIdentity(folder)).rejects.toThrow(path);
  expect((await stat(path)).size).toBe(9);
});
