import { afterAll, expect, onTestFinished, test } from "vitest";
import { digestOf } from "../../core/digest.ts";
import { PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import { handOver } from "../../core/spent-bytes.ts";
import { factsOf } from "../facts.ts";
import { collect, sampleBytes } from "../sample-bytes.ts";
import { BINDING } from "../uploads.conformance.ts";
import { HashPool } from "./hash-pool.ts";
import { makeRoot, startNode } from "./test-node.ts";

const never = new AbortController().signal;
const worker = new HashPool({ threads: 2 });
const alone = new HashPool({ threads: 1 });
afterAll(() => Promise.all([worker.close(), alone.close()]));

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

for (const [threads, pool] of [
  ["one thread", alone],
  ["two threads", worker],
] as const) {
  for (const algorithm of ["sha256", "sha512"] as const) {
    test(`${threads}: a ${algorithm} blob whose chunks cross the ends of pieces, in three requests with a restart, has the facts of core/pieces`, async () => {
      const { root, remove } = await makeRoot();
      onTestFinished(remove);
      const bytes = sampleBytes(2 * PIECE_SIZE_BYTES + 100_001, 4);
      const cuts = [0, PIECE_SIZE_BYTES - 70_001, PIECE_SIZE_BYTES + 200_003, bytes.byteLength];
      const first = await startNode(root, pool);
      await first.uploads.create("u1", { ...BINDING, algorithm });
      await first.uploads.append("u1", {}, handedOver(bytes.subarray(cuts[0], cuts[1])), never);
      await first.uploads.append("u1", {}, handedOver(bytes.subarray(cuts[1], cuts[2])), never);
      const { store, uploads } = await startNode(root, pool);
      await uploads.append("u1", {}, handedOver(bytes.subarray(cuts[2])), never);
      const digest = digestOf(bytes, algorithm);
      expect(await uploads.finish("u1", digest, "c1", never)).toEqual(factsOf(bytes, algorithm));
      expect(Buffer.compare(await collect(store.open(digest, { start: 0, end: bytes.byteLength }, never)), bytes)).toBe(0);
    });
  }
}

async function* handedOver(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += 65_537) yield handOver(Uint8Array.from(bytes.subarray(start, start + 65_537)));
}
