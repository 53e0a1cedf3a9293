import { afterAll, expect, onTestFinished, test } from "vitest";
import { digestOf } from "../../core/digest.ts";
import { handOver } from "../../core/spent-bytes.ts";
import { factsOf } from "../facts.ts";
import { collect, sampleBytes } from "../sample-bytes.ts";
import { BINDING } from "../uploads.conformance.ts";
import { HashPool } from "./hash-pool.ts";
import { makeRoot, startNode } from "./test-node.ts";

const never = new AbortController().signal;
const worker = new HashPool({ threads: 2 });
afterAll(() => worker.close());

test("chunks that are handed over are freed as they are taken, and their bytes arrive; others keep theirs", async () => {
  const { root, remove } = await makeRoot();
  onTestFinished(remove);
  const { store, uploads } = await startNode(root, worker);
  const bytes = sampleBytes(9_000_001, 3);
  const owned: Uint8Array[] = [];
  const kept: Uint8Array[] = [];
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < bytes.byteLength; start += 65_536) {
      const chunk = Uint8Array.from(bytes.subarray(start, start + 65_536));
      (start % 131_072 === 0 ? owned : kept).push(chunk);
      yield start % 131_072 === 0 ? handOver(chunk) : chunk;
    }
  }
  await uploads.create("u1", BINDING);
  await uploads.append("u1", {}, source(), never);
  const digest = digestOf(bytes);
  expect(await uploads.finish("u1", digest, "c1", never)).toEqual(factsOf(bytes, "sha256"));
  expect(Buffer.compare(await collect(store.open(digest, { start: 0, end: bytes.byteLength }, never)), bytes)).toBe(0);
  expect(owned.filter((chunk) => chunk.byteLength > 0)).toEqual([]);
  expect(kept.filter((chunk) => chunk.byteLength === 0)).toEqual([]);
});
