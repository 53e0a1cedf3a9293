import { expect, test } from "vitest";
import { discard, handOver } from "./spent-bytes.ts";

const SIZE_BYTES = 64 * 1024;

test("a chunk that was handed over is freed when it is discarded, once", () => {
  const chunk = handOver(new Uint8Array(SIZE_BYTES));
  discard(chunk);
  expect(chunk.byteLength).toBe(0);
  expect(() => discard(chunk)).not.toThrow();
});

test("a chunk that nobody handed over keeps its bytes", () => {
  const chunk = new Uint8Array(SIZE_BYTES).fill(1);
  discard(chunk);
  expect(chunk.byteLength).toBe(SIZE_BYTES);
});

test("a part of memory that others use keeps its bytes, also when it is handed over", () => {
  const whole = new Uint8Array(SIZE_BYTES * 2).fill(1);
  discard(handOver(whole.subarray(0, SIZE_BYTES)));
  discard(handOver(whole.subarray(SIZE_BYTES)));
  expect(whole.byteLength).toBe(SIZE_BYTES * 2);
});
