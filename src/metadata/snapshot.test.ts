import { expect, test } from "vitest";
import { MemoryStore } from "./memory-store.ts";
import { readSnapshot, SnapshotError, snapshotChunks } from "./snapshot.ts";
import type { Change } from "./view.ts";

function storeOf(count: number, valueBytes: number): MemoryStore {
  return new MemoryStore(Array.from({ length: count }, (_, at) => [`key/${at}\0${at}`, Buffer.alloc(valueBytes, at % 251)]));
}

async function bytesOf(store: MemoryStore): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(snapshotChunks(store)));
}

async function* cut(bytes: Uint8Array, length: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += length) yield bytes.subarray(at, at + length);
}

async function read(bytes: Uint8Array, length = 65_536): Promise<MemoryStore> {
  const store = new MemoryStore();
  for await (const changes of readSnapshot(cut(bytes, length))) store.write(changes);
  return store;
}

test("a snapshot holds every key, in chunks of at most 256 KiB, wherever a transport cuts them", async () => {
  const store = storeOf(3_000, 1_000);
  store.write([{ key: "large", value: Buffer.alloc(3_000_000, 7) }]);
  const chunks = await Array.fromAsync(snapshotChunks(store));
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

test("a snapshot that was cut short anywhere is refused", async () => {
  const bytes = await bytesOf(storeOf(4, 6));
  for (let length = 0; length < bytes.byteLength; length += 1) {
    await expect(read(bytes.subarray(0, length)), `cut at ${length}`).rejects.toThrow(SnapshotError);
  }
});

test("G6: a snapshot with one altered bit anywhere is refused", async () => {
  const bytes = await bytesOf(storeOf(4, 6));
  for (let at = 0; at < bytes.byteLength; at += 1) {
    const altered = Buffer.from(bytes);
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
    await expect(read(altered), `altered at ${at}`).rejects.toThrow(SnapshotError);
  }
});

test("bytes after the end, and bytes that are no snapshot, are refused", async () => {
  const bytes = await bytesOf(storeOf(2, 2));
  await expect(read(Buffer.concat([bytes, Buffer.from([0])]))).rejects.toThrow(SnapshotError);
  await expect(read(Buffer.from("<html>not a snapshot</html>"))).rejects.toThrow(/no snapshot/);
});

test("batches are bounded, so that a large state is installed without being held whole", async () => {
  const batches: (readonly Change[])[] = [];
  for await (const changes of readSnapshot(snapshotChunks(storeOf(400, 20_000)))) batches.push(changes);
  expect(batches.length).toBeGreaterThan(6);
  expect(batches.flat().length).toBe(400);
});
