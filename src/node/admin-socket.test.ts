import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ADMIN_SOCKET_POINTER, SOCKET_PATH_BYTES_MAX } from "../config/data-folder.ts";
import { placeAdminSocket } from "./admin-socket.ts";

const folder = mkdtempSync(join(tmpdir(), "roadstead-socket-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function longFolder(): string {
  const long = join(folder, "x".repeat(SOCKET_PATH_BYTES_MAX));
  mkdirSync(long, { recursive: true });
  return long;
}

test("the socket lies in the data folder where its path fits", () => {
  const place = placeAdminSocket(folder);
  expect(place.path).toBe(join(folder, "admin.sock"));
  expect(existsSync(join(folder, ADMIN_SOCKET_POINTER))).toBe(false);
});

test("a longer path gives way to a folder of its own that only its owner enters, and both go at the end", () => {
  const data = longFolder();
  const place = placeAdminSocket(data);
  expect(Buffer.byteLength(place.path)).toBeLessThanOrEqual(SOCKET_PATH_BYTES_MAX);
  expect(statSync(dirname(place.path)).mode & 0o777).toBe(0o700);
  expect(readFileSync(join(data, ADMIN_SOCKET_POINTER), "utf8").trim()).toBe(place.path);
  place.forget();
  expect([existsSync(dirname(place.path)), existsSync(join(data, ADMIN_SOCKET_POINTER))]).toEqual([false, false]);
});

test("what a run that was killed left behind is cleared by the next, and never more than that", () => {
  const data = longFolder();
  const killed = placeAdminSocket(data);
  writeFileSync(killed.path, "");
  const next = placeAdminSocket(data);
  expect(existsSync(dirname(killed.path))).toBe(false);
  writeFileSync(join(dirname(next.path), "somebody's"), "");
  expect(() => next.forget()).toThrow("ENOTEMPTY");
  rmSync(dirname(next.path), { recursive: true });
});
