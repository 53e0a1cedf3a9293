import { expect, test } from "vitest";
import { MemoryStore } from "./memory-store.ts";
import { SnapshotCut, SnapshotError, SnapshotReader, SnapshotWriter } from "./snapshot.ts";
import type { Change } from "./view.ts";

function storeOf(count: number, valueBytes: number): MemoryStore {
  return new MemoryStore(Array.from({ length: count }, (_, at) => [`key/${at}\0${at}`, Buffer.alloc(valueBytes, at % 251)]));
}

async function bytesOf(store: MemoryStore): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(new SnapshotWriter(store).chunks()));
}

async function* cut(bytes: Uint8Array, length: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += length) yield bytes.subarray(at, at + length);
}

async function read(bytes: Uint8Array, length = 65_536, reader = new SnapshotReader(), store = new MemoryStore()): Promise<MemoryStore> {
  for await (const changes of reader.read(cut(bytes, length))) store.write(changes);
  return store;
}

test("a snapshot holds every key, in chunks of at most 256 KiB, wherever a transport cuts them", async () => {
  const store = storeOf(3_000, 1_000);
  store.write([{ key: "large", value: Buffer.alloc(3_000_000, 7) }]);
  const chunks = await Array.fromAsync(new SnapshotWriter(store).chunks());
  expect(Math.max(...chunks.map((chunk) => chunk.byteLength))).toBeLessThanOrEqual(256 * 1024);
  const bytes = Buffer.concat(chunks);
  for (const length of [4_093, 1_000_000]) expect((await read(bytes, length)).entries()).toEqual(store.entries());
});

test("a small snapshot can be cut byte by byte, and an empty one is one", async () => {
  const store = storeOf(5, 3);
  expect((await read(await bytesOf(store), 1)).entries()).toEqual(store.entries());
  expect((await read(await bytesOf(new MemoryStore()))).entries()).toEqual([]);
});

test("the same state gives the same snapshot", async () => {
  const [one, other] = [storeOf(50, 10), new MemoryStore(storeOf(50, 10).entries().toReversed())];
  expect((await bytesOf(one)).equals(await bytesOf(other))).toBe(true);
});

test("a snapshot that was cut short anywhere is not whole, and says that it may go on", async () => {
  const bytes = await bytesOf(storeOf(4, 6));
  for (let length = 0; length < bytes.byteLength; length += 1) {
    const reader = new SnapshotReader();
    await expect(read(bytes.subarray(0, length), 100, reader), `cut at ${length}`).rejects.toThrow(SnapshotCut);
    expect(reader.whole).toBe(false);
  }
});

test("a snapshot that was cut goes on after the last part that was whole, as often as it takes, and ends up the same", async () => {
  const store = storeOf(3_000, 1_000);
  const writer = new SnapshotWriter(store);
  const reader = new SnapshotReader();
  const received = new MemoryStore();
  let sentBytes = 0;
  for (let stream = 1; !reader.whole; stream += 1) {
    expect(writer.canResume(reader.lastKey)).toBe(true);
    async function* broken(): AsyncIterable<Uint8Array> {
      let left = 700_000;
      for await (const chunk of writer.chunks(reader.lastKey)) {
        sentBytes += chunk.byteLength;
        left -= chunk.byteLength;
        if (left < 0 && stream < 6) throw new Error("the cable was pulled");
        yield chunk;
      }
    }
    try {
      for await (const changes of reader.read(broken())) received.write(changes);
    } catch (error) {
      expect(String(error)).toContain("the cable was pulled");
    }
  }
  expect(received.entries()).toEqual(store.entries());
  // What was whole was not sent again: at most one part a cut, and what the reader had not taken yet.
  expect(sentBytes).toBeLessThan(3_100_000 + 6 * 600_000);
});

test("a stream cannot go on from a key at which no part ends", async () => {
  const writer = new SnapshotWriter(storeOf(10, 10));
  await Array.fromAsync(writer.chunks());
  expect([writer.canResume("key/1"), writer.canResume("")]).toEqual([false, true]);
  await expect(Array.fromAsync(writer.chunks("key/1"))).rejects.toThrow(SnapshotError);
});

test("G6: a snapshot with one altered bit anywhere is refused", async () => {
  const bytes = await bytesOf(storeOf(4, 6));
  for (let at = 0; at < bytes.byteLength; at += 1) {
    const altered = Buffer.from(bytes);
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
    await expect(read(altered), `altered at ${at}`).rejects.toThrow(SnapshotError);
  }
});

test("G6: a part that is missing from the middle, or comes twice, is refused", async () => {
  const chunks = await Array.fromAsync(new SnapshotWriter(storeOf(1_000, 1_000)).chunks());
  // A part is its head and its rows.
  await expect(read(Buffer.concat(chunks.toSpliced(2, 2)))).rejects.toThrow(SnapshotError);
  await expect(read(Buffer.concat(chunks.toSpliced(2, 0, ...chunks.slice(0, 2))))).rejects.toThrow(SnapshotError);
});

test("bytes after the end, and bytes that are no snapshot, are refused", async () => {
  const bytes = await bytesOf(storeOf(2, 2));
  await expect(read(Buffer.concat([bytes, Buffer.from([0])]))).rejects.toThrow(SnapshotError);
  await expect(read(Buffer.from("<html>not a snapshot</html>"))).rejects.toThrow(/no snapshot/);
});

test("batches are bounded, so that a large state is installed without being held whole", async () => {
  const batches: (readonly Change[])[] = [];
  for await (const changes of new SnapshotReader().read(new SnapshotWriter(storeOf(400, 20_000)).chunks())) batches.push(changes);
  expect(batches.length).toBeGreaterThan(6);
  expect(batches.flat().length).toBe(400);
});
