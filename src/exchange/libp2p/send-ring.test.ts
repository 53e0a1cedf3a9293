import { expect, test } from "vitest";
import { SendRing } from "./send-ring.ts";

const LARGE = 256 * 1024;

test("a buffer comes round for the third chunk after it, and a chunk that a socket takes without a pause has memory of its own", () => {
  const ring = new SendRing();
  const first = ring.take(LARGE);
  const small = [ring.take(64 * 1024), ring.take(1)];
  const [second, third, fourth] = [ring.take(LARGE), ring.take(LARGE), ring.take(LARGE)];
  expect(new Set([first, second, third, ...small].map((chunk) => chunk.buffer)).size).toBe(5);
  expect(fourth.buffer).toBe(first.buffer);
});

test("a chunk larger than those before it has all the room that it needs", () => {
  const ring = new SendRing();
  for (let turn = 0; turn < 3; turn += 1) ring.take(LARGE);
  expect(ring.take(4 * LARGE).byteLength).toBe(4 * LARGE);
  expect(ring.take(LARGE).byteLength).toBe(LARGE);
});
