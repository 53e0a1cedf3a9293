import { afterEach, expect, test } from "vitest";
import { sampleBytes } from "../../blobs/sample-bytes.ts";
import { TestBlobs } from "../test-blobs.conformance.ts";
import { Loopback } from "./cluster.conformance.ts";

const never = new AbortController().signal;
const CHUNK = sampleBytes(1024 * 1024, 1);
const CHUNKS = 48;
let loopback: Loopback | undefined;
afterEach(() => loopback?.close());

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("a reader that is slower than the sender all the way stops it, and the stream is never reset for what piles up", async () => {
  loopback = new Loopback();
  const asking = await loopback.exchange(new TestBlobs());
  const answering = await loopback.exchange(new TestBlobs());
  answering.onCall(async (_from, _request, body) => {
    let sizeBytes = 0;
    for await (const chunk of body) {
      sizeBytes += chunk.byteLength;
      await turns(12); // the sender goes on meanwhile, as far as the window lets it
    }
    return { sizeBytes };
  });
  let sent = 0;
  const body = async function* (): AsyncIterable<Uint8Array> {
    for (; sent < CHUNKS; sent += 1) yield CHUNK;
  };
  expect(await asking.call(answering.self, {}, body(), never)).toEqual({ sizeBytes: CHUNKS * CHUNK.byteLength });
});
