import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { collect, sampleBytes } from "../blobs/sample-bytes.ts";
import type { Digest, DigestAlgorithm } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { PeerId } from "../core/peer.ts";
import { PIECE_SIZE_BYTES } from "../core/pieces.ts";
import type { Exchange, Wanted } from "./exchange.ts";
import { TestBlobs } from "./test-blobs.conformance.ts";

/** Several nodes whose exchanges reach each other. */
export interface ExchangeCluster {
  readonly nodes: readonly { readonly exchange: Exchange; readonly blobs: TestBlobs }[];
  /** The node cannot be reached any more. */
  cut(index: number): Promise<void>;
  close(): Promise<void>;
}

export type MakeExchangeCluster = (
  blobs: readonly TestBlobs[],
  onBadCopy: (peer: PeerId, digest: Digest) => void,
) => Promise<ExchangeCluster>;

const MIB = 1024 * 1024;
const never = new AbortController().signal;

const sample = (sizeBytes: number, seed = 1): Uint8Array => sampleBytes(sizeBytes, seed);

async function refusal(promise: Promise<unknown>): Promise<OciError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OciError);
  return error as OciError;
}

/** What the tests stand on: three nodes, made anew for each. */
interface Ground {
  readonly badCopies: { peer: PeerId; digest: Digest }[];
  peerOf(index: number): PeerId;
  exchangeOf(index: number): Exchange;
  blobsOf(index: number): TestBlobs;
  cut(index: number): Promise<void>;
  /** Puts the bytes at the holders and answers what a record would say. */
  hold(bytes: Uint8Array, holders: readonly number[], algorithm?: DigestAlgorithm): Promise<Wanted>;
  /** The whole blob, by node 0. */
  fetchAll(wanted: Wanted, signal?: AbortSignal): Promise<Buffer>;
}

/** Every adapter of `Exchange` passes this. */
export function describeExchange(name: string, make: MakeExchangeCluster): void {
  describe(name, () => {
    const ground = prepare(make);
    pullTests(ground);
    lieTests(ground);
    lackTests(ground);
    cachedCopyTests(ground);
    sharingTests(ground);
    spreadTests(ground);
    bodyTests(ground);
    failureTests(ground);
  });
}

function prepare(make: MakeExchangeCluster): Ground {
  let cluster: ExchangeCluster;
  const badCopies: Ground["badCopies"] = [];
  beforeEach(async () => {
    badCopies.length = 0;
    cluster = await make([new TestBlobs(), new TestBlobs(), new TestBlobs()], (peer, digest) => badCopies.push({ peer, digest }));
  });
  afterEach(() => cluster.close());
  const blobsOf: Ground["blobsOf"] = (index) => cluster.nodes[index]!.blobs;
  const exchangeOf: Ground["exchangeOf"] = (index) => cluster.nodes[index]!.exchange;
  return {
    badCopies,
    blobsOf,
    exchangeOf,
    peerOf: (index) => exchangeOf(index).self,
    cut: (index) => cluster.cut(index),
    hold: async (bytes, holders, algorithm) => {
      const digests = holders.map((index) => blobsOf(index).store.put(bytes, algorithm));
      const root = (await blobsOf(holders[0]!).store.pin(digests[0]!, "test"))!.root;
      return { digest: digests[0]!, sizeBytes: bytes.byteLength, root, holders: holders.map((index) => exchangeOf(index).self) };
    },
    fetchAll: (wanted, signal = never) => collect(exchangeOf(0).fetch(wanted, { start: 0, end: wanted.sizeBytes }, signal)),
  };
}

function pullTests({ peerOf, exchangeOf, blobsOf, hold, fetchAll }: Ground): void {
  test.each([
    ["an empty blob", 0, "sha256"],
    ["a blob of one byte", 1, "sha256"],
    ["a blob of one piece", PIECE_SIZE_BYTES, "sha256"],
    ["a blob of a piece and a byte", PIECE_SIZE_BYTES + 1, "sha256"],
    ["a blob of several pieces", 5 * PIECE_SIZE_BYTES + 4711, "sha256"],
    ["a sha512 blob of one piece", 100_000, "sha512"],
    ["a sha512 blob of several pieces", 2 * PIECE_SIZE_BYTES + 5, "sha512"],
  ] as const)("%s comes as it was and is a cached copy afterwards", async (_title, sizeBytes, algorithm) => {
    const bytes = sample(sizeBytes);
    const wanted = await hold(bytes, [1, 2], algorithm);
    expect((await fetchAll(wanted)).equals(bytes)).toBe(true);
    await blobsOf(0).cached;
    expect(await blobsOf(0).stat(wanted.digest)).toMatchObject({ sizeBytes, settled: true });
    expect(blobsOf(1).servedBytes + blobsOf(2).servedBytes).toBe(sizeBytes);
  });

  test("a range brings its bytes alone, at most the pieces that it covers are asked for, and nothing is cached", async () => {
    const bytes = sample(4 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [1]);
    for (const [start, end] of [
      [0, 1],
      [PIECE_SIZE_BYTES - 3, PIECE_SIZE_BYTES + 3],
      [bytes.byteLength - 1, bytes.byteLength],
      [7, 7],
    ] as const) {
      const before = blobsOf(1).servedBytes;
      const got = await collect(exchangeOf(0).fetch(wanted, { start, end }, never));
      expect(got.equals(bytes.subarray(start, end))).toBe(true);
      expect(blobsOf(1).servedBytes - before).toBeLessThanOrEqual(2 * PIECE_SIZE_BYTES);
    }
    expect(await blobsOf(0).stat(wanted.digest)).toBeUndefined();
  });

  test("peers: what was sent and received is counted", async () => {
    await fetchAll(await hold(sample(100_000), [1]));
    const facts = exchangeOf(0)
      .peers()
      .find(({ peer }) => peer === peerOf(1));
    expect(facts).toMatchObject({ connected: true });
    expect(facts!.receivedBytes).toBeGreaterThanOrEqual(100_000);
  });
}

function lieTests({ peerOf, exchangeOf, blobsOf, hold, fetchAll, badCopies }: Ground): void {
  test("G6: a holder that lies is set aside and reported, and its bytes never come through", async () => {
    const bytes = sample(3 * PIECE_SIZE_BYTES + 9);
    const wanted = await hold(bytes, [1, 2]);
    blobsOf(1).tamper = (chunk) => chunk.map((byte, at) => (at === 5 ? byte ^ 1 : byte));
    for (let round = 0; round < 4; round += 1) {
      const got = await collect(exchangeOf(0).fetch(wanted, { start: 0, end: bytes.byteLength - 1 }, never));
      expect(got.equals(bytes.subarray(0, -1))).toBe(true);
    }
    expect(badCopies.length).toBeGreaterThan(0);
    expect(badCopies.every(({ peer, digest }) => peer === peerOf(1) && digest === wanted.digest)).toBe(true);
  });

  test("G6: where the only holder lies, the client gets not one byte of the bad piece", async () => {
    const bytes = sample(2 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [1]);
    blobsOf(1).tamper = (chunk, { start }) => (start === 0 ? chunk : chunk.map((byte) => byte ^ 1));
    const got: Uint8Array[] = [];
    const read = async (): Promise<void> => {
      for await (const chunk of exchangeOf(0).fetch(wanted, { start: 0, end: wanted.sizeBytes }, never)) got.push(Uint8Array.from(chunk));
    };
    expect((await refusal(read())).code).toBe("UNAVAILABLE");
    expect(Buffer.concat(got).equals(bytes.subarray(0, PIECE_SIZE_BYTES))).toBe(true);
    await blobsOf(0).abandoned;
    expect(await blobsOf(0).stat(wanted.digest)).toBeUndefined();
  });

  test.each(["sha256", "sha512"] as const)("G6: a blob of one piece is checked against its digest, %s", async (algorithm) => {
    const wanted = await hold(sample(70_000), [1], algorithm);
    expect((await fetchAll(wanted)).byteLength).toBe(70_000);
    blobsOf(1).tamper = (chunk) => chunk.map((byte) => byte ^ 1);
    const another = await hold(sample(70_001), [1], algorithm);
    expect((await refusal(fetchAll(another))).code).toBe("UNAVAILABLE");
    expect(badCopies).toEqual([{ peer: peerOf(1), digest: another.digest }]);
  });

  test("G6: a piece list that does not give the root of the record is not believed", async () => {
    const bytes = sample(3 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [1, 2]);
    blobsOf(1).tamperList = (pieces) => [...pieces].reverse();
    blobsOf(2).tamperList = (pieces) => pieces.slice(1);
    expect((await refusal(fetchAll(wanted))).code).toBe("UNAVAILABLE");
    expect(new Set(badCopies.map(({ peer }) => peer))).toEqual(new Set([peerOf(1), peerOf(2)]));
    blobsOf(2).tamperList = undefined;
    expect((await fetchAll(wanted)).equals(bytes)).toBe(true);
  });
}

function lackTests({ peerOf, exchangeOf, blobsOf, hold, fetchAll, cut }: Ground): void {
  test("a record without a root is checked as a whole before its last byte goes out", async () => {
    const bytes = sample(2 * PIECE_SIZE_BYTES + 100);
    const wanted = { ...(await hold(bytes, [1])), root: undefined };
    expect((await fetchAll(wanted)).equals(bytes)).toBe(true);
    await blobsOf(0).cached;
    expect((await collect(exchangeOf(2).fetch(wanted, { start: 5, end: 90 }, never))).equals(bytes.subarray(5, 90))).toBe(true);
    blobsOf(1).tamper = (chunk, { start }) => (start === 0 ? chunk.map((byte) => byte ^ 1) : chunk);
    let size = 0;
    const read = async (): Promise<void> => {
      for await (const chunk of exchangeOf(2).fetch(wanted, { start: 0, end: wanted.sizeBytes }, never)) size += chunk.byteLength;
    };
    expect((await refusal(read())).code).toBe("UNAVAILABLE");
    expect(size).toBeLessThan(bytes.byteLength);
  });

  test("a holder that is dead, and one that has no copy, are passed over", async () => {
    const bytes = sample(2 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [2]);
    const elsewhere = { ...wanted, holders: [peerOf(1), peerOf(2), peerOf(0)] };
    expect((await fetchAll(elsewhere)).equals(bytes)).toBe(true);
    await cut(1);
    blobsOf(0).store.drop(wanted.digest, () => true);
    expect((await fetchAll(elsewhere)).equals(bytes)).toBe(true);
    await cut(2);
    expect((await refusal(fetchAll(elsewhere))).code).toBe("UNAVAILABLE");
  });

  test("a blob with no holder is unavailable", async () => {
    const wanted = { ...(await hold(sample(10), [1])), holders: [] };
    expect((await refusal(fetchAll(wanted))).code).toBe("UNAVAILABLE");
  });
}

function cachedCopyTests({ exchangeOf, blobsOf, cut, hold, fetchAll }: Ground): void {
  test("a blob whose holders are all gone comes from the cached copy of another node", async () => {
    const bytes = sample(100_000);
    const wanted = await hold(bytes, [1]);
    await collect(exchangeOf(2).fetch(wanted, { start: 0, end: bytes.byteLength }, never));
    await blobsOf(2).cached;
    await cut(1);
    let got: Buffer | undefined;
    while (got === undefined) {
      got = await fetchAll(wanted).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "UNAVAILABLE" }); // the news may still be on its way
        return undefined;
      });
    }
    expect(got.equals(bytes)).toBe(true);
    expect(blobsOf(2).servedBytes).toBe(bytes.byteLength);
  });
}

function sharingTests({ exchangeOf, blobsOf, hold, fetchAll }: Ground): void {
  test("readers of one blob share one fetch: the holders give about one copy", async () => {
    const bytes = sample(4 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [1, 2]);
    const all = await Promise.all(Array.from({ length: 6 }, () => fetchAll(wanted)));
    expect(all.every((got) => got.equals(bytes))).toBe(true);
    expect(blobsOf(1).servedBytes + blobsOf(2).servedBytes).toBe(bytes.byteLength);
  });

  test("a reader that has stopped holds up nobody, and goes on with what was cached", async () => {
    const bytes = sample(7 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [1]);
    const slow = exchangeOf(0).fetch(wanted, { start: 0, end: wanted.sizeBytes }, never)[Symbol.asyncIterator]();
    const begin = Buffer.from((await slow.next()).value!); // a copy: a chunk is not valid for long
    expect((await fetchAll(wanted)).equals(bytes)).toBe(true);
    const rest = await collect({ [Symbol.asyncIterator]: () => slow });
    expect(Buffer.concat([begin, rest]).equals(bytes)).toBe(true);
    expect(blobsOf(1).servedBytes).toBe(bytes.byteLength);
  });

  test("a reader that goes away leaves the fetch to the others", async () => {
    const bytes = sample(4 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [1]);
    const leaving = new AbortController();
    const gone = fetchAll(wanted, leaving.signal);
    const staying = exchangeOf(0).fetch(wanted, { start: 0, end: wanted.sizeBytes }, never)[Symbol.asyncIterator]();
    const begin = Buffer.from((await staying.next()).value!); // a copy: a chunk is not valid for long
    leaving.abort();
    await expect(gone).rejects.toMatchObject({ name: "AbortError" });
    const rest = await collect({ [Symbol.asyncIterator]: () => staying });
    expect(Buffer.concat([begin, rest]).equals(bytes)).toBe(true);
  });

  test("a fetch that its only reader has left keeps nothing, and the next one begins anew", async () => {
    const bytes = sample(4 * PIECE_SIZE_BYTES);
    const wanted = await hold(bytes, [1]);
    for await (const _chunk of exchangeOf(0).fetch(wanted, { start: 0, end: wanted.sizeBytes }, never)) break;
    await blobsOf(0).abandoned;
    expect(await blobsOf(0).stat(wanted.digest)).toBeUndefined();
    expect((await fetchAll(wanted)).equals(bytes)).toBe(true);
  });
}

function spreadTests({ peerOf, exchangeOf, blobsOf, hold, cut }: Ground): void {
  test("spread: each target verifies and pins before it acknowledges; one that cannot be reached is left out", async () => {
    const wanted = await hold(sample(2 * PIECE_SIZE_BYTES + 3), [0]);
    const seen: PeerId[] = [];
    const both = await exchangeOf(0).spread(wanted, "c1", [peerOf(1), peerOf(2)], (peer) => seen.push(peer), never);
    expect(new Set(both)).toEqual(new Set([peerOf(1), peerOf(2)]));
    expect(new Set(seen)).toEqual(new Set(both));
    expect(blobsOf(1).store.pins()).toEqual([{ digest: wanted.digest, commitId: "c1" }]);
    await cut(2);
    const other = await hold(sample(1000, 2), [0]);
    expect(await exchangeOf(0).spread(other, "c2", [peerOf(1), peerOf(2)], () => {}, never)).toEqual([peerOf(1)]);
  });

  test("spread: a target that has the blob pins it and is sent no body", async () => {
    const wanted = await hold(sample(PIECE_SIZE_BYTES), [0, 1]);
    expect(await exchangeOf(0).spread(wanted, "c1", [peerOf(1)], () => {}, never)).toEqual([peerOf(1)]);
    expect(blobsOf(1).store.pins()).toEqual([{ digest: wanted.digest, commitId: "c1" }]);
    expect(blobsOf(1).receivedBlobs).toBe(0);
    expect(blobsOf(0).servedBytes).toBe(0);
  });

  test("G6: a target never acknowledges bytes that are not those of the digest", async () => {
    const wanted = await hold(sample(PIECE_SIZE_BYTES + 1), [0]);
    blobsOf(0).tamper = (chunk) => chunk.map((byte) => byte ^ 1);
    expect(await exchangeOf(0).spread(wanted, "c1", [peerOf(1), peerOf(2)], () => {}, never)).toEqual([]);
    expect(blobsOf(1).store.pins()).toEqual([]);
  });
}

function bodyTests({ peerOf, exchangeOf }: Ground): void {
  test("call: a large body is piped to the owner and the answer comes back", async () => {
    const bytes = sample(9 * MIB + 1);
    exchangeOf(1).onCall(async (from, request, body) => {
      const got = await collect(body);
      return { from, echo: request.question, same: got.equals(bytes) ? 1 : 0 };
    });
    const answer = await exchangeOf(0).call(peerOf(1), { question: "why", at: 7, no: undefined }, chunked(bytes, 60_000), never);
    expect(answer).toMatchObject({ from: peerOf(0), echo: "why", same: 1 });
  });

  test("call: without a body the handler reads an empty one", async () => {
    exchangeOf(1).onCall(async (_from, _request, body) => ({ sizeBytes: (await collect(body)).byteLength }));
    expect(await exchangeOf(0).call(peerOf(1), {}, undefined, never)).toEqual({ sizeBytes: 0 });
    expect(await exchangeOf(1).call(peerOf(1), {}, chunked(sample(10), 3), never)).toEqual({ sizeBytes: 10 });
  });

  test("call: an owner that refuses is sent no more of the body, and one that reads slowly is sent little ahead", async () => {
    const asked = Promise.withResolvers<void>();
    const decide = Promise.withResolvers<void>();
    exchangeOf(1).onCall(async (_from, _request, body) => {
      for await (const _chunk of body) break;
      asked.resolve();
      await decide.promise;
      throw new OciError("DENIED", "no");
    });
    let sentChunks = 0;
    const endless = (async function* () {
      for (; sentChunks < 400; sentChunks += 1) yield new Uint8Array(MIB / 4);
    })();
    const call = refusal(exchangeOf(0).call(peerOf(1), {}, endless, never));
    await asked.promise;
    decide.resolve();
    expect((await call).code).toBe("DENIED");
    expect(sentChunks).toBeLessThan(400);
  });
}

function failureTests({ peerOf, exchangeOf, cut }: Ground): void {
  test("call: a refusal of the owner crosses with its code, text and facts", async () => {
    exchangeOf(1).onCall(async () => {
      throw new OciError("RANGE_INVALID", "out of order", { offset: 42, owner: "n1" });
    });
    const error = await refusal(exchangeOf(0).call(peerOf(1), {}, chunked(sample(100), 10), never));
    expect([error.code, error.message, error.detail]).toEqual(["RANGE_INVALID", "out of order", { offset: 42, owner: "n1" }]);
  });

  test("call: an owner that cannot be reached is unavailable", async () => {
    await cut(1);
    expect((await refusal(exchangeOf(0).call(peerOf(1), {}, undefined, never))).code).toBe("UNAVAILABLE");
  });

  test("call: when the caller gives up, it is told so at once", async () => {
    const asked = Promise.withResolvers<void>();
    exchangeOf(1).onCall(async () => {
      asked.resolve();
      return new Promise(() => {});
    });
    const controller = new AbortController();
    const call = exchangeOf(0).call(peerOf(1), {}, undefined, controller.signal);
    await asked.promise;
    controller.abort();
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
  });

  test("call: a body that fails at its source fails the call with the same error", async () => {
    exchangeOf(1).onCall(async (_from, _request, body) => ({ sizeBytes: (await collect(body)).byteLength }));
    const broken = (async function* () {
      yield sample(10);
      throw new OciError("SIZE_INVALID", "the client went away");
    })();
    expect((await refusal(exchangeOf(0).call(peerOf(1), {}, broken, never))).code).toBe("SIZE_INVALID");
  });
}

async function* chunked(bytes: Uint8Array, sizeBytes: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += sizeBytes) yield bytes.subarray(at, at + sizeBytes);
}
