import { expect, test } from "vitest";
import { Configurations } from "./configurations.ts";

const STATE_FACTOR = 0x9e3779b1; // as in `add`: it lets a test make hashes collide

test("configurations of equal hash are told apart by their operations and by their state", () => {
  const seen = new Configurations(1, 0);
  const colliding = Math.imul(1, STATE_FACTOR) ^ Math.imul(2, STATE_FACTOR);
  expect(seen.add(Uint32Array.of(1), 0, 0)).toBe(true);
  expect(seen.add(Uint32Array.of(2), 0, 0)).toBe(true);
  expect(seen.add(Uint32Array.of(1), colliding, 1)).toBe(true);
  expect(seen.add(Uint32Array.of(1), 0, 0)).toBe(false);
  expect(seen.size).toBe(3);
});

test("what uses up more unanswered operations is known, what uses up others is not, also among thousands", () => {
  const seen = new Configurations(1, 1);
  for (let answered = 0; answered < 5_000; answered += 1) expect(seen.add(Uint32Array.of(answered, 0b011), answered, 7)).toBe(true);
  for (let answered = 0; answered < 5_000; answered += 1) {
    expect(seen.add(Uint32Array.of(answered, 0b111), answered, 7)).toBe(false);
    expect(seen.add(Uint32Array.of(answered, 0b101), answered, 7)).toBe(true);
    expect(seen.add(Uint32Array.of(answered, 0b011), answered, 7)).toBe(false);
  }
});
