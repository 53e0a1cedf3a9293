import { afterEach, beforeEach, expect, test } from "vitest";
import { collect, sampleBytes } from "../../blobs/sample-bytes.ts";
import { systemClock } from "../../core/clock.ts";
import { type Digest, digestOf } from "../../core/digest.ts";
import type { PieceHash } from "../../core/pieces.ts";
import { PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import { TestBlobs } from "../test-blobs.conformance.ts";
import { Channel } from "./channel.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Host } from "./host.ts";
import type { Libp2pExchange } from "./libp2p-exchange.ts";
import { BLOB_PROTOCOL } from "./wire.ts";

const never = new AbortController().signal;
const REFUSED = { error: { code: "UNAVAILABLE" } };
let loopback: Loopback;
let blobs: TestBlobs;
let leaving: Libp2pExchange;
let peer: Host;

beforeEach(async () => {
  loopback = new Loopback();
  blobs = new TestBlobs();
  leaving = await loopback.exchange(blobs);
  peer = await loopback.host();
});
afterEach(() => loopback.close());

async function ask(request: Readonly<Record<string, unknown>>): Promise<Channel> {
  const channel = new Channel(await peer.dial(leaving.self, BLOB_PROTOCOL, never));
  await channel.writeFrame(request);
  return channel;
}

async function answerTo(request: Readonly<Record<string, unknown>>): Promise<unknown> {
  const channel = await ask(request);
  const answer = await channel.readFrame(1_000);
  await channel.end(systemClock);
  return answer;
}

async function held(sizeBytes: number): Promise<{ digest: Digest; root: PieceHash }> {
  const digest = blobs.store.put(sampleBytes(sizeBytes, 3));
  return { digest, root: (await blobs.store.pin(digest, "x"))!.root };
}

/** Begins to finish; @returns whether it has */
function finish(signal = never): { readonly finished: Promise<void>; over(): boolean } {
  let over = false;
  const finished = leaving.finish(signal).then(() => {
    over = true;
  });
  return { finished, over: () => over };
}

test("a node that stops lets its peers get and send to the end what they have begun, and begins nothing more with them", async () => {
  const sizeBytes = 2 * PIECE_SIZE_BYTES;
  const { digest } = await held(sizeBytes);
  const bytes = sampleBytes(1_000, 4);
  const put = { op: "put", digest: digestOf(bytes), sizeBytes: bytes.byteLength, commitId: "c" };
  const get = { op: "get", digest, start: 0, end: sizeBytes, list: false };
  const getting = await ask(get); // nothing of its body is read: the stream's window is full long before its end
  expect(await getting.readFrame(1_000)).toMatchObject({ sizeBytes, length: sizeBytes });
  const putting = await ask(put);
  expect(await putting.readFrame(1_000)).toEqual({ state: "need" });

  const { finished, over } = finish();
  for (const request of [get, put]) expect(await answerTo(request)).toMatchObject(REFUSED);
  expect(await collect(getting.body(sizeBytes))).toHaveLength(sizeBytes);
  await getting.writeFrame(get);
  expect(await getting.readFrame(1_000), "one more on the same stream").toMatchObject(REFUSED);
  expect(over()).toBe(false);
  await putting.write(bytes);
  expect(await putting.readFrame(1_000)).toMatchObject({ state: "kept" });
  await putting.end(systemClock);
  await finished;
});

test("a node that stops goes on sending what it was sending", async () => {
  const { digest, root } = await held(1_000);
  const target = new TestBlobs();
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const receive = target.receive;
  target.receive = async (...given) => {
    begun.resolve();
    await gate.promise;
    return receive(...given);
  };
  const other = await loopback.exchange(target);
  const sent = leaving.spread({ digest, root, sizeBytes: 1_000, holders: [] }, "c", [other.self], () => undefined, never);
  await begun.promise;
  const { finished, over } = finish();
  expect(await answerTo({ op: "get", digest, start: 0, end: 1, list: false })).toMatchObject(REFUSED);
  expect(over()).toBe(false);
  gate.resolve();
  expect(await sent).toEqual([other.self]);
  await finished;
});

test("a node that stops answers the calls for uploads that live on it, and waits no longer than it is told to", async () => {
  const gate = Promise.withResolvers<void>();
  const asking = await loopback.exchange(new TestBlobs());
  leaving.onCall(async () => {
    await gate.promise;
    return { offset: 1 };
  });
  const first = asking.call(leaving.self, {}, undefined, never);
  const patience = new AbortController();
  while (loopback.openStreams("/roadstead/upload/1.0.0") < 2) await new Promise(setImmediate); // both ends have it
  const { finished, over } = finish(patience.signal);
  const second = asking.call(leaving.self, {}, undefined, never);
  expect(await answerTo({ op: "get", digest: digestOf(new Uint8Array(1)), start: 0, end: 1, list: false })).toMatchObject(REFUSED);
  expect(over()).toBe(false);
  patience.abort();
  await finished;
  gate.resolve();
  expect(await Promise.all([first, second])).toEqual([{ offset: 1 }, { offset: 1 }]);
});
