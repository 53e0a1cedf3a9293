import { afterEach, expect, test } from "vitest";
import { sampleBytes } from "../../blobs/sample-bytes.ts";
import { systemClock } from "../../core/clock.ts";
import { TestBlobs } from "../test-blobs.conformance.ts";
import { Channel } from "./channel.ts";
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

test("a body comes in blocks, however small the records are that brought it, and what came before it broke off is given first", async () => {
  loopback = new Loopback();
  const [asking, answering] = [await loopback.host(), await loopback.host()];
  const PROTOCOL = "/roadstead/test/1.0.0";
  const sent = CHUNK.byteLength + 100_000;
  await answering.handle(PROTOCOL, async (stream) => {
    const channel = new Channel(stream);
    for (let start = 0; start < sent; start += 10_000) await channel.write(CHUNK.subarray(0, Math.min(10_000, sent - start)));
    await channel.end(systemClock);
  });
  const channel = new Channel(await asking.dial(answering.self, PROTOCOL, never));
  const sizes: number[] = [];
  const read = async (): Promise<void> => {
    for await (const block of channel.body(2 * CHUNK.byteLength)) sizes.push(block.byteLength);
  };
  await expect(read()).rejects.toThrow(`${2 * CHUNK.byteLength - sent} bytes before the end`);
  expect(sizes).toEqual([262_144, 262_144, 262_144, 262_144, 100_000]);
});

test("G6: writers on several streams of one connection that reuse their buffers, each after the next write but one, send what they wrote", async () => {
  loopback = new Loopback();
  const [asking, answering] = [await loopback.host(), await loopback.host()];
  const PROTOCOL = "/roadstead/test/1.0.0";
  await answering.handle(PROTOCOL, async (stream) => {
    const channel = new Channel(stream);
    const ring = [0, 1, 2].map(() => Buffer.allocUnsafeSlow(CHUNK.byteLength));
    for (let index = 0; index < CHUNKS / 4; index += 1) {
      const buffer = ring[index % ring.length]!.fill(index + 1);
      await channel.write(buffer);
      await turns(1);
    }
    await channel.end(systemClock);
  });
  const wrong = async (): Promise<readonly number[]> => {
    const channel = new Channel(await asking.dial(answering.self, PROTOCOL, never));
    const into = Buffer.allocUnsafeSlow(CHUNK.byteLength);
    const found: number[] = [];
    for (let index = 0; index < CHUNKS / 4; index += 1) {
      await channel.readInto(into);
      if (!into.every((byte) => byte === index + 1)) found.push(index);
    }
    await channel.end(systemClock);
    return found;
  };
  expect(await Promise.all([wrong(), wrong(), wrong(), wrong()])).toEqual([[], [], [], []]);
});

test("who reads into a buffer is told of bytes that came though no block is full, and is given the blocks in order", async () => {
  loopback = new Loopback();
  const [asking, answering] = [await loopback.host(), await loopback.host()];
  const PROTOCOL = "/roadstead/test/1.0.0";
  const bytes = Buffer.from(CHUNK).map((_, index) => index % 251);
  const goOn = Promise.withResolvers<void>();
  await answering.handle(PROTOCOL, async (stream) => {
    const channel = new Channel(stream);
    await channel.write(bytes.subarray(0, 1000));
    await goOn.promise;
    await channel.write(bytes.subarray(1000));
    await channel.end(systemClock);
  });
  const channel = new Channel(await asking.dial(answering.self, PROTOCOL, never));
  const came = Promise.withResolvers<number>();
  const endWatch = channel.watchReceived((sizeBytes) => came.resolve(sizeBytes));
  const into = Buffer.alloc(bytes.byteLength);
  const blocks: Uint8Array[] = [];
  const reading = channel.readInto(into, (block) => void blocks.push(block));
  expect(await came.promise).toBe(1000);
  expect(blocks).toEqual([]);
  goOn.resolve();
  await reading;
  endWatch();
  expect(into.equals(bytes)).toBe(true);
  expect(Buffer.concat(blocks).equals(bytes)).toBe(true);
  await channel.end(systemClock);
});
