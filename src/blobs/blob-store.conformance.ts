import { afterEach, describe, expect, test } from "vitest";
import { type Digest, digestOf } from "../core/digest.ts";
import { PIECE_SIZE_BYTES } from "../core/pieces.ts";
import type { BlobStore, Expected } from "./blob-store.ts";
import { factsOf } from "./facts.ts";
import { bodyOf, brokenBody, collect, sampleBytes } from "./sample-bytes.ts";

/** A store to test, and what flips a bit of a copy in it as a failing disk would. */
export interface StoreUnderTest {
  readonly store: BlobStore;
  damage(digest: Digest, offset: number): Promise<void>;
  close(): Promise<void>;
}

const never = new AbortController().signal;
const SIZES = {
  empty: 0,
  one: 1,
  small: 10_240,
  large: 300_000,
  "of exactly one piece": PIECE_SIZE_BYTES,
  "of two pieces": PIECE_SIZE_BYTES + 1_048_577,
};

export function expectedOf(bytes: Uint8Array, algorithm: "sha256" | "sha512" = "sha256"): Expected {
  const { digest, sizeBytes, root } = factsOf(bytes, algorithm);
  return { digest, sizeBytes, root };
}

/** What every `BlobStore` does. */
export function blobStoreConformance(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`blob store: ${name}`, () => {
    let opened: StoreUnderTest[] = [];
    const start = async (): Promise<StoreUnderTest> => {
      const made = await make();
      opened.push(made);
      return made;
    };
    afterEach(async () => {
      for (const made of opened) await made.close();
      opened = [];
    });
    const settled = async (store: BlobStore, bytes: Uint8Array): Promise<Digest> => {
      const expected = expectedOf(bytes);
      await store.receive(expected, "c1", bodyOf(bytes), never);
      await store.settle({ digest: expected.digest, commitId: "c1" }, true);
      return expected.digest;
    };
    reads(start, settled);
    refusals(start, settled);
    pinsAndDrops(start, settled);
    cacheAndDamage(start, settled);
    rereads(start, settled);
  });
}

type Start = () => Promise<StoreUnderTest>;
type Settled = (store: BlobStore, bytes: Uint8Array) => Promise<Digest>;

function reads(start: Start, settled: Settled): void {
  for (const algorithm of ["sha256", "sha512"] as const) {
    for (const [title, sizeBytes] of Object.entries(SIZES)) {
      test(`a ${algorithm} blob (${title}) comes back as it was received, with the facts of core/pieces`, async () => {
        const { store } = await start();
        const bytes = sampleBytes(sizeBytes, 1);
        const facts = factsOf(bytes, algorithm);
        expect(await store.receive(expectedOf(bytes, algorithm), "c1", bodyOf(bytes), never)).toEqual(facts);
        expect(await store.stat(facts.digest)).toMatchObject({ sizeBytes, settled: false });
        expect((await collect(store.open(facts.digest, { start: 0, end: sizeBytes }, never))).equals(bytes)).toBe(true);
        expect(await store.pieces(facts.digest)).toEqual(facts.pieces);
      });
    }
  }

  test("a range gives exactly its bytes, over the ends of chunks and pieces", async () => {
    const { store } = await start();
    const bytes = sampleBytes(2 * PIECE_SIZE_BYTES + 100_000, 2);
    const digest = await settled(store, bytes);
    const ranges = [
      [0, 1],
      [1_048_575, 1_048_577],
      [PIECE_SIZE_BYTES - 10, PIECE_SIZE_BYTES + 10],
      [5, 2 * PIECE_SIZE_BYTES + 7],
      [bytes.byteLength - 1, bytes.byteLength],
      [100, bytes.byteLength + 5],
    ] as const;
    for (const [from, end] of ranges) {
      expect((await collect(store.open(digest, { start: from, end }, never))).equals(bytes.subarray(from, end))).toBe(true);
    }
    const small = await settled(store, bytes.subarray(0, 1_000));
    for (let turn = 0; turn < 2; turn += 1) {
      expect((await collect(store.open(small, { start: 10, end: 20 }, never))).equals(bytes.subarray(10, 20))).toBe(true);
    }
  });

  test("a chunk stays valid until the second one after it is asked for", async () => {
    const { store } = await start();
    const bytes = sampleBytes(2 * PIECE_SIZE_BYTES, 3);
    const digest = await settled(store, bytes);
    let before: { chunk: Uint8Array; position: number } | undefined;
    let position = 0;
    for await (const chunk of store.open(digest, { start: 0, end: bytes.byteLength }, never)) {
      if (before !== undefined) expect(Buffer.compare(before.chunk, bytes.subarray(before.position, position))).toBe(0);
      before = { chunk, position };
      position += chunk.byteLength;
    }
    expect(position).toBe(bytes.byteLength);
  });

  test("a blob that is not here has no facts, and reading it is BLOB_UNKNOWN", async () => {
    const { store } = await start();
    const digest = digestOf(Buffer.from("absent"));
    expect(await store.stat(digest)).toBeUndefined();
    expect(await store.pieces(digest)).toBeUndefined();
    expect(await store.pin(digest, "c1")).toBeUndefined();
    await expect(collect(store.open(digest, { start: 0, end: 1 }, never))).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  });
}

function refusals(start: Start, settled: Settled): void {
  for (const sizeBytes of [100, 200_000]) {
    test(`G6: a body of ${sizeBytes} bytes that is not what was expected is refused and not kept`, async () => {
      const { store } = await start();
      const bytes = sampleBytes(sizeBytes, 4);
      const expected = expectedOf(bytes);
      const wrong = Uint8Array.from(bytes);
      wrong[50]! ^= 1;
      const refusal = (body: AsyncIterable<Uint8Array>, wanted = expected) => expect(store.receive(wanted, "c1", body, never)).rejects;
      await refusal(bodyOf(wrong)).toMatchObject({ code: "DIGEST_INVALID" });
      await refusal(bodyOf(bytes.subarray(1))).toMatchObject({ code: "SIZE_INVALID" });
      await refusal(bodyOf(Buffer.concat([bytes, bytes]))).toMatchObject({ code: "SIZE_INVALID" });
      await refusal(bodyOf(bytes), { ...expected, root: factsOf(wrong, "sha256").root }).toMatchObject({ code: "DIGEST_INVALID" });
      await refusal(brokenBody(bytes.subarray(0, 60), new Error("reset"))).toThrow("reset");
      expect(await store.stat(expected.digest)).toBeUndefined();
      expect(store.pins()).toEqual([]);
    });
  }

  test("an aborted receive keeps nothing and fails with the abort, though its source never answers", async () => {
    const { store } = await start();
    const expected = expectedOf(sampleBytes(200_000, 5));
    const abort = new AbortController();
    const stuck = (async function* () {
      yield new Uint8Array(10);
      abort.abort();
      await new Promise<never>(() => {});
    })();
    await expect(store.receive(expected, "c1", stuck, abort.signal)).rejects.toMatchObject({ name: "AbortError" });
    expect(await store.stat(expected.digest)).toBeUndefined();
  });

  test("a read that is aborted ends with the abort", async () => {
    const { store } = await start();
    const digest = await settled(store, sampleBytes(PIECE_SIZE_BYTES, 6));
    const abort = new AbortController();
    const read = async (): Promise<void> => {
      for await (const _ of store.open(digest, { start: 0, end: PIECE_SIZE_BYTES }, abort.signal)) abort.abort();
    };
    await expect(read()).rejects.toMatchObject({ name: "AbortError" });
  });
}

function pinsAndDrops(start: Start, settled: Settled): void {
  test("the bytes stand as long as one pin stands, and go with the last", async () => {
    const { store } = await start();
    const bytes = sampleBytes(5_000, 7);
    const expected = expectedOf(bytes);
    const { digest } = expected;
    await store.receive(expected, "c1", bodyOf(bytes), never);
    expect(await store.pin(digest, "c2")).toEqual(factsOf(bytes, "sha256"));
    expect(new Set(store.pins())).toEqual(
      new Set([
        { digest, commitId: "c1" },
        { digest, commitId: "c2" },
      ]),
    );
    await store.settle({ digest, commitId: "c1" }, false);
    await store.settle({ digest, commitId: "unknown" }, false);
    expect((await collect(store.open(digest, { start: 0, end: 5_000 }, never))).equals(bytes)).toBe(true);
    await store.settle({ digest, commitId: "c2" }, false);
    expect(await store.stat(digest)).toBeUndefined();
    expect(store.pins()).toEqual([]);
    await expect(collect(store.open(digest, { start: 0, end: 5_000 }, never))).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  });

  test("a settled blob outlives its pins, is listed and counted once", async () => {
    const { store } = await start();
    const bytes = sampleBytes(5_000, 8);
    const digest = await settled(store, bytes);
    await settled(store, bytes);
    expect(await store.stat(digest)).toMatchObject({ sizeBytes: 5_000, settled: true });
    expect(store.pins()).toEqual([]);
    expect(await store.list("", 10)).toEqual([digest]);
    expect(store.usage()).toEqual({ blobs: 1, sizeBytes: 5_000 });
  });

  test("G5: a drop asks under the lock, and takes nothing that is still wanted", async () => {
    const { store } = await start();
    const digest = await settled(store, sampleBytes(5_000, 9));
    expect(await store.drop(digest, () => false)).toBe(false);
    expect(await store.stat(digest)).toMatchObject({ settled: true });
    await store.pin(digest, "c2");
    expect(await store.drop(digest, () => true)).toBe(true);
    expect(await store.stat(digest)).toMatchObject({ settled: false });
    expect(await store.drop(digest, () => true)).toBe(false);
    await store.settle({ digest, commitId: "c2" }, false);
    expect(await store.stat(digest)).toBeUndefined();
    expect(store.usage()).toEqual({ blobs: 0, sizeBytes: 0 });
  });

  test("a list is sorted, starts strictly after its mark and ends at its limit", async () => {
    const { store } = await start();
    const digests: Digest[] = [];
    for (let seed = 0; seed < 12; seed += 1) digests.push(await settled(store, sampleBytes(100 + seed, seed)));
    digests.sort();
    expect(await store.list("", 100)).toEqual(digests);
    expect(await store.list(digests[3]!, 4)).toEqual(digests.slice(4, 8));
    expect(await store.list(digests[11]!, 4)).toEqual([]);
  });
}

function cacheAndDamage(start: Start, settled: Settled): void {
  test("a cached copy takes its pieces in any order, serves those it has, and is settled when it is whole", async () => {
    const { store } = await start();
    const bytes = sampleBytes(2 * PIECE_SIZE_BYTES + 1_000, 10);
    const expected = expectedOf(bytes);
    const writer = await store.cacheWriter(expected);
    expect(await store.cacheWriter(expected)).toBeUndefined();
    const piece = (index: number) => bytes.subarray(index * PIECE_SIZE_BYTES, (index + 1) * PIECE_SIZE_BYTES);
    await writer!.write(2, piece(2));
    await writer!.write(0, piece(0));
    expect(await writer!.read(1)).toBeUndefined();
    expect(Buffer.compare((await writer!.read(2))!, piece(2))).toBe(0);
    expect(await store.stat(expected.digest)).toBeUndefined();
    await writer!.write(1, piece(1));
    await writer!.finish();
    expect(await store.stat(expected.digest)).toMatchObject({ settled: true });
    expect((await collect(store.open(expected.digest, { start: 0, end: bytes.byteLength }, never))).equals(bytes)).toBe(true);
    expect(store.usage()).toEqual({ blobs: 1, sizeBytes: bytes.byteLength });
  });

  test("G6: a cached copy with a wrong piece is refused, and an abandoned one leaves room for the next", async () => {
    const { store } = await start();
    const bytes = sampleBytes(1_000, 11);
    const expected = expectedOf(bytes);
    const wrong = await store.cacheWriter(expected);
    await wrong!.write(0, sampleBytes(1_000, 12));
    await expect(wrong!.finish()).rejects.toMatchObject({ code: "DIGEST_INVALID" });
    const left = await store.cacheWriter(expected);
    await left!.abandon();
    expect(await store.stat(expected.digest)).toBeUndefined();
    const good = await store.cacheWriter(expected);
    await good!.write(0, bytes);
    await good!.finish();
    expect(await store.stat(expected.digest)).toMatchObject({ settled: true });
  });

  for (const sizeBytes of [10_240, 300_000, 3 * PIECE_SIZE_BYTES + 5]) {
    test(`G6: a flipped bit in a blob of ${sizeBytes} bytes is never served: the read ends before its piece`, async () => {
      const { store, damage } = await start();
      const bytes = sampleBytes(sizeBytes, 13);
      const digest = await settled(store, bytes);
      const piece = Math.floor((sizeBytes - 3) / PIECE_SIZE_BYTES);
      await damage(digest, sizeBytes - 3);
      const got: Buffer[] = [];
      const read = async (): Promise<void> => {
        for await (const chunk of store.open(digest, { start: 0, end: sizeBytes }, never)) got.push(Buffer.from(chunk));
      };
      await expect(read()).rejects.toMatchObject({ name: "CorruptBlobError", digest, piece });
      expect(Buffer.concat(got).equals(bytes.subarray(0, piece * PIECE_SIZE_BYTES))).toBe(true);
      await store.quarantine(digest, "test");
      expect(await store.stat(digest)).toBeUndefined();
      expect(store.usage()).toEqual({ blobs: 0, sizeBytes: 0 });
      expect(await settled(store, bytes)).toBe(digest);
      expect((await collect(store.open(digest, { start: 0, end: sizeBytes }, never))).equals(bytes)).toBe(true);
    });
  }
}

function rereads(start: Start, settled: Settled): void {
  for (const sizeBytes of [0, 10_240, 2 * PIECE_SIZE_BYTES + 5]) {
    test(`a blob of ${sizeBytes} bytes is read again piece by piece, each awaited, with the facts of the whole`, async () => {
      const { store } = await start();
      const bytes = sampleBytes(sizeBytes, 14);
      const digest = await settled(store, bytes);
      const pieces: number[] = [];
      const facts = await store.reread(digest, async (size) => void pieces.push(size), never);
      expect(facts).toEqual(factsOf(bytes, "sha256"));
      expect(pieces.reduce((sum, size) => sum + size, 0)).toBe(sizeBytes);
      expect(Math.max(0, ...pieces)).toBeLessThanOrEqual(PIECE_SIZE_BYTES);
      const stop = new AbortController();
      const stopped = store.reread(digest, async () => stop.abort(), sizeBytes > PIECE_SIZE_BYTES ? stop.signal : AbortSignal.abort());
      await expect(stopped).rejects.toMatchObject({ name: "AbortError" });
    });
  }

  test("G6: a piece that rots after it was verified shows when the blob is read again; what is absent is BLOB_UNKNOWN", async () => {
    const { store, damage } = await start();
    const bytes = sampleBytes(PIECE_SIZE_BYTES + 100, 15);
    const digest = await settled(store, bytes);
    await collect(store.open(digest, { start: 0, end: bytes.byteLength }, never));
    await damage(digest, PIECE_SIZE_BYTES + 3);
    const reread = store.reread(digest, async () => undefined, never);
    await expect(reread).rejects.toMatchObject({ name: "CorruptBlobError", digest, piece: 1 });
    expect(await store.quarantined()).toBe(0);
    await store.quarantine(digest, "test");
    expect(await store.quarantined()).toBe(1);
    await expect(store.reread(digest, async () => undefined, never)).rejects.toMatchObject({ code: "BLOB_UNKNOWN" });
  });
}
