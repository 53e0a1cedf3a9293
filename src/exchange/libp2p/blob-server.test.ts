import { afterEach, beforeEach, expect, test } from "vitest";
import { collect, sampleBytes } from "../../blobs/sample-bytes.ts";
import { systemClock } from "../../core/clock.ts";
import type { Digest } from "../../core/digest.ts";
import { silentLog } from "../../core/log.ts";
import { PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import { systemRandom } from "../../core/random.ts";
import type { Wanted } from "../exchange.ts";
import { TestBlobs } from "../test-blobs.conformance.ts";
import { Channel } from "./channel.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Host } from "./host.ts";
import { createLibp2pExchange, type Libp2pExchange } from "./libp2p-exchange.ts";
import { BLOB_PROTOCOL, UPLOAD_PROTOCOL } from "./wire.ts";

const never = new AbortController().signal;
let loopback: Loopback;
let asking: Libp2pExchange;
let holder: Host;
let blobs: TestBlobs;
let corrupt: Digest[];

beforeEach(async () => {
  loopback = new Loopback();
  corrupt = [];
  blobs = new TestBlobs();
  asking = await loopback.exchange(new TestBlobs());
  holder = await loopback.host();
  const options = { host: holder, members: () => [], blobs, clock: systemClock, random: systemRandom, log: silentLog };
  loopback.exchanges.push(await createLibp2pExchange({ ...options, onLocalCorrupt: (digest) => corrupt.push(digest) }));
});
afterEach(() => loopback.close());

async function held(sizeBytes: number): Promise<Wanted> {
  const digest = blobs.store.put(sampleBytes(sizeBytes, 3));
  return { digest, sizeBytes, root: (await blobs.store.pin(digest, "x"))!.root, holders: [holder.self] };
}

test("G6: a copy that proves damaged while it is read for a peer is quarantined, reported, and another holder gives the bytes", async () => {
  const bytes = sampleBytes(2 * PIECE_SIZE_BYTES, 3);
  const wanted = await held(bytes.byteLength);
  blobs.store.damage(wanted.digest, PIECE_SIZE_BYTES + 5);
  const good = new TestBlobs();
  const other = await loopback.exchange(good);
  const fetch = (holders: Wanted["holders"]) => collect(asking.fetch({ ...wanted, holders }, { start: 0, end: wanted.sizeBytes }, never));
  await expect(fetch([holder.self])).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(corrupt).toEqual([wanted.digest]);
  expect(await blobs.stat(wanted.digest)).toBeUndefined();
  good.store.put(bytes);
  expect((await fetch([holder.self, other.self])).equals(bytes)).toBe(true);
});

test("a member that speaks nonsense loses its stream, and the node goes on", async () => {
  const wanted = await held(100);
  const speaker = loopback.hosts[0]!;
  const nonsense: unknown[] = [
    1,
    null,
    {},
    { op: "get" },
    { op: "get", digest: "sha256:x", start: 0, end: 1 },
    { op: "drop", digest: wanted.digest },
  ];
  nonsense.push(
    { op: "get", digest: wanted.digest, start: 5, end: 1 },
    { op: "put", digest: wanted.digest, sizeBytes: -1, commitId: "c" },
    [],
  );
  for (const protocol of [BLOB_PROTOCOL, UPLOAD_PROTOCOL]) {
    for (const value of nonsense) {
      const channel = new Channel(await speaker.dial(holder.self, protocol, never));
      await channel.writeFrame(value);
      const answer = await channel.readFrame(10_000).catch(() => ({ error: "reset" }));
      expect(answer).toHaveProperty("error");
      channel.abort(new Error("done"));
    }
    const channel = new Channel(await speaker.dial(holder.self, protocol, never));
    await channel.write(Uint8Array.of(255, 255, 255, 255, 1));
    await expect(channel.read()).rejects.toThrow();
  }
  expect(await collect(asking.fetch(wanted, { start: 0, end: 100 }, never))).toHaveLength(100);
});

test("a range past the end of the blob brings what there is, and the stream carries the next request", async () => {
  const wanted = await held(100);
  const channel = new Channel(await loopback.hosts[0]!.dial(holder.self, BLOB_PROTOCOL, never));
  for (const [start, end, length] of [
    [90, 200, 10],
    [100, 200, 0],
    [0, 100, 100],
  ] as const) {
    await channel.writeFrame({ op: "get", digest: wanted.digest, start, end, list: false });
    expect(await channel.readFrame(1_000)).toEqual({ sizeBytes: 100, length, load: 0 });
    expect(await collect(channel.body(length))).toHaveLength(length);
  }
  await channel.end(systemClock);
});

test("an answer tells how many pieces go to others at the moment, without those of who asks", async () => {
  const wanted = await held(20_000_000);
  const busy = loopback.hosts[0]!;
  const first = new Channel(await busy.dial(holder.self, BLOB_PROTOCOL, never));
  await first.writeFrame({ op: "get", digest: wanted.digest, start: 0, end: 20_000_000, list: false });
  await first.readFrame(1_000); // and no byte more: the holder is held up by what nobody reads
  for (const [host, load] of [
    [busy, 0],
    [await loopback.host(), 1],
  ] as const) {
    const channel = new Channel(await host.dial(holder.self, BLOB_PROTOCOL, never));
    await channel.writeFrame({ op: "get", digest: wanted.digest, start: 0, end: 1, list: false });
    expect(await channel.readFrame(1_000)).toMatchObject({ load });
    channel.abort(new Error("done"));
  }
  first.abort(new Error("done"));
});
