import { afterEach, beforeEach, expect, test } from "vitest";
import { collect, sampleBytes } from "../../blobs/sample-bytes.ts";
import { OciError } from "../../core/errors.ts";
import { PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import type { Wanted } from "../exchange.ts";
import { TestBlobs } from "../test-blobs.conformance.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Libp2pExchange } from "./libp2p-exchange.ts";
import { BLOB_PROTOCOL, UPLOAD_PROTOCOL } from "./wire.ts";

const never = new AbortController().signal;
const IDLE_MAX = 8;
let loopback: Loopback;
let asking: Libp2pExchange;
let answering: Libp2pExchange;
let blobs: TestBlobs;

beforeEach(async () => {
  loopback = new Loopback();
  blobs = new TestBlobs();
  asking = await loopback.exchange(new TestBlobs());
  answering = await loopback.exchange(blobs);
});
afterEach(() => loopback.close());

/** Closing crosses the wire: resolves once no more than `limit` streams of the protocol are open on each side. */
async function streamsFall(protocol: string, limit: number): Promise<void> {
  while (loopback.openStreams(protocol) > 2 * limit) await new Promise((resolve) => setImmediate(resolve));
}

async function held(sizeBytes: number): Promise<Wanted> {
  const digest = blobs.store.put(sampleBytes(sizeBytes, 3));
  return { digest, sizeBytes, root: (await blobs.store.pin(digest, "x"))!.root, holders: [answering.self] };
}

test("300 fetches one after the other and 60 at once keep no more than a few streams, and none after close", async () => {
  const wanted = await held(1_000);
  const range = (at: number) => ({ start: at % 999, end: 1_000 });
  for (let at = 0; at < 300; at += 1) await collect(asking.fetch(wanted, range(at), never));
  await Promise.all(Array.from({ length: 60 }, (_, at) => collect(asking.fetch(wanted, range(at), never))));
  await streamsFall(BLOB_PROTOCOL, IDLE_MAX);
  await asking.close();
  await streamsFall(BLOB_PROTOCOL, 0);
});

test("fetches that fail or are left in the middle leave no stream open", async () => {
  const wanted = await held(9_000_000);
  const unknown = { ...wanted, digest: blobs.store.put(sampleBytes(5, 9)) };
  for (let at = 0; at < 40; at += 1) {
    const controller = new AbortController();
    const reading = collect(asking.fetch(wanted, { start: 0, end: wanted.sizeBytes }, controller.signal));
    setImmediate(() => controller.abort());
    await expect(reading).rejects.toMatchObject({ name: "AbortError" });
    await expect(collect(asking.fetch(unknown, { start: 0, end: wanted.sizeBytes }, never))).rejects.toThrow(OciError);
  }
  await asking.close();
  await streamsFall(BLOB_PROTOCOL, 0);
});

test("calls that succeed, are refused, are cut at the source or given up leave no stream open", async () => {
  answering.onCall(async (_from, request, body, signal) => {
    if (request.how === "refuse") throw new OciError("DENIED", "no");
    if (request.how === "hang") await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    return { sizeBytes: (await collect(body)).byteLength };
  });
  const bodyOf = async function* (fails: boolean): AsyncIterable<Uint8Array> {
    yield sampleBytes(100_000, 1);
    if (fails) throw new Error("the client went away");
  };
  for (let at = 0; at < 60; at += 1) {
    expect(await asking.call(answering.self, { how: "take" }, bodyOf(false), never)).toEqual({ sizeBytes: 100_000 });
    await expect(asking.call(answering.self, { how: "refuse" }, bodyOf(false), never)).rejects.toThrow("no");
    await expect(asking.call(answering.self, { how: "take" }, bodyOf(true), never)).rejects.toThrow();
    const controller = new AbortController();
    const hanging = asking.call(answering.self, { how: "hang" }, undefined, controller.signal);
    setImmediate(() => controller.abort());
    await expect(hanging).rejects.toMatchObject({ name: "AbortError" });
  }
  await Promise.all(Array.from({ length: 60 }, () => asking.call(answering.self, { how: "take" }, bodyOf(false), never)));
  await streamsFall(UPLOAD_PROTOCOL, 0);
});

test("spreads, taken and refused, leave no stream open", async () => {
  const source = new TestBlobs();
  const sender = await loopback.exchange(source);
  for (let at = 0; at < 60; at += 1) {
    const digest = source.store.put(sampleBytes(50_000, at));
    const wanted = { digest, sizeBytes: 50_000, root: undefined, holders: [] };
    source.tamper = at % 2 === 0 ? undefined : (chunk) => chunk.map((byte) => byte ^ 1);
    const kept = await sender.spread(wanted, `c${at}`, [answering.self], () => {}, never);
    expect(kept).toHaveLength(at % 2 === 0 ? 1 : 0);
  }
  await streamsFall(BLOB_PROTOCOL, 0);
});

test("the memory of a piece is used again once every reader has had it, and never where one has gone in the middle", async () => {
  const wanted = await held(9 * PIECE_SIZE_BYTES);
  const whole = { start: 0, end: wanted.sizeBytes };
  const begin = async (): Promise<[Uint8Array, AsyncIterator<Uint8Array>]> => {
    const chunks = asking.fetch(wanted, whole, never)[Symbol.asyncIterator]();
    return [(await chunks.next()).value!, chunks];
  };
  const [left, leaver] = await begin();
  const before = Buffer.from(left);
  const [, stayer] = await begin();
  await leaver.return?.();
  const memory = new Set<ArrayBufferLike>();
  let last = { done: false } as IteratorResult<Uint8Array>;
  for (let next = await stayer.next(); next.done !== true; next = await stayer.next()) {
    last = next;
    memory.add(next.value.buffer);
  }
  expect(last.value.byteLength).toBeGreaterThan(0); // the last piece is with its reader still: none of it was taken back
  expect(memory.size).toBeLessThan(9);
  expect(before.equals(left)).toBe(true); // it may be on its way to a client
});
