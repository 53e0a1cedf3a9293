import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { sampleBytes } from "../../blobs/sample-bytes.ts";
import { systemClock } from "../../core/clock.ts";
import { ManualClock, settle } from "../manual-clock.conformance.ts";
import { Channel } from "./channel.ts";
import { Loopback } from "./cluster.conformance.ts";

const never = new AbortController().signal;
const PROTOCOL = "/roadstead/test/1.0.0";
const MIB = 1024 * 1024;
let loopback: Loopback;
let near: Channel;
let far: Channel;

/** Two ends of one stream. */
beforeEach(async () => {
  loopback = new Loopback();
  const [a, b] = [await loopback.host(), await loopback.host()];
  const { promise, resolve } = Promise.withResolvers<Channel>();
  await b.handle(PROTOCOL, async (stream) => resolve(new Channel(stream)));
  near = new Channel(await a.dial(b.self, PROTOCOL, never));
  far = await promise;
});
afterEach(() => loopback.close());

test("frames and raw bytes arrive in order, and a half-closed stream still carries the answer", async () => {
  await near.writeFrame({ a: 1 });
  await near.write(Uint8Array.of(1, 2, 3));
  await near.writeFrame(["b"]);
  const ended = near.end(systemClock);
  expect(await far.readFrame(100)).toEqual({ a: 1 });
  const three = new Uint8Array(3);
  await far.readInto(three);
  expect([...three]).toEqual([1, 2, 3]);
  expect(await far.readFrame(100)).toEqual(["b"]);
  expect(await far.readFrame(100)).toBeUndefined();
  await far.writeFrame("still here");
  await far.end(systemClock);
  await ended;
  expect(near.closed && far.closed).toBe(true);
});

test("a writer is stopped while nobody reads, goes on when somebody does, and no byte is lost", async () => {
  const sent = createHash("sha256");
  let sentChunks = 0;
  const writing = (async () => {
    for (; sentChunks < 64; sentChunks += 1) {
      const chunk = sampleBytes(MIB, sentChunks);
      sent.update(chunk);
      await near.write(chunk);
    }
    await near.end(systemClock);
  })();
  for (let turn = 0; turn < 2_000; turn += 1) await settle();
  expect(sentChunks).toBeLessThan(24); // a window, the queues at both ends, the sockets
  const received = createHash("sha256");
  for (let chunk = await far.read(); chunk !== undefined; chunk = await far.read()) received.update(chunk);
  await far.end(systemClock);
  await writing;
  expect(received.digest("hex")).toBe(sent.digest("hex"));
});

test("a writer that waits is woken by a reset", async () => {
  const writing = (async () => {
    for (;;) await near.write(new Uint8Array(MIB));
  })();
  await far.read();
  far.abort(new Error("no more"));
  await expect(writing).rejects.toThrow();
  await expect(near.read()).rejects.toThrow();
});

test("an abort of the signal ends what waits at both ends", async () => {
  const controller = new AbortController();
  near.abortOn(controller.signal);
  const [reading, distant] = [near.read(), far.read()];
  controller.abort();
  await expect(reading).rejects.toMatchObject({ name: "AbortError" });
  await expect(distant).rejects.toThrow();
});

test("a frame that is too long, and a body that ends early, are errors and no short answers", async () => {
  await near.writeFrame("x".repeat(2_000));
  await expect(far.readFrame(1_000)).rejects.toThrow(/1000 are allowed/);
  await far.write(Uint8Array.of(0, 0, 0, 9, 1, 2));
  void far.end(systemClock);
  await expect(near.readFrame(1_000)).rejects.toMatchObject({ name: "ChannelEnded" });
});

test("an end that the other side never answers is reset in time", async () => {
  const clock = new ManualClock();
  const ending = near.end(clock);
  await clock.advance(5_000);
  await ending;
  expect(near.closed).toBe(true);
});
