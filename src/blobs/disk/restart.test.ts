import { createHash } from "node:crypto";
import { appendFile, open, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { algorithmOf, digestFromHash, digestOf } from "../../core/digest.ts";
import { PIECE_SIZE_BYTES, pieceCount } from "../../core/pieces.ts";
import { expectedOf } from "../blob-store.conformance.ts";
import { factsOf } from "../facts.ts";
import { bodyOf, brokenBody, collect, sampleBytes } from "../sample-bytes.ts";
import { BINDING } from "../uploads.conformance.ts";
import { HashPool } from "./hash-pool.ts";
import { filesIn, flipBit, makeRoot, startNode } from "./test-node.ts";

const never = new AbortController().signal;
const worker = new HashPool();
afterAll(() => worker.close());

async function testRoot(): Promise<string> {
  const { root, remove } = await makeRoot();
  onTestFinished(remove);
  return root;
}

test("an upload goes on after a restart from what was fsynced, with the same digest and pieces", async () => {
  const root = await testRoot();
  const bytes = sampleBytes(PIECE_SIZE_BYTES + 500_000, 1);
  for (const algorithm of ["sha256", "sha512"] as const) {
    const id = `u-${algorithm}`;
    const first = await startNode(root, worker);
    await first.uploads.create(id, { ...BINDING, algorithm });
    await first.uploads.append(id, {}, bodyOf(bytes.subarray(0, 600_000)), never);
    const second = await startNode(root, worker);
    expect(await second.uploads.status(id)).toEqual({ ...BINDING, algorithm, id, offset: 600_000, finished: false, digest: undefined });
    await second.uploads.append(id, { offset: 600_000 }, bodyOf(bytes.subarray(600_000)), never);
    const third = await startNode(root, worker);
    expect(await third.uploads.finish(id, digestOf(bytes, algorithm), "c1", never)).toEqual(factsOf(bytes, algorithm));
  }
});

test("a last body that was cut before a restart is told after it, too", async () => {
  const root = await testRoot();
  const bytes = sampleBytes(200_000, 1);
  const digest = digestOf(bytes);
  const first = await startNode(root, worker);
  await first.uploads.create("u1", BINDING);
  const whole = { last: true, digest, sizeBytes: bytes.byteLength };
  await expect(first.uploads.append("u1", whole, brokenBody(bytes.subarray(0, 120_000), new Error("reset")), never)).rejects.toThrow(
    "reset",
  );
  const cut = { digest, start: 0, sizeBytes: bytes.byteLength };
  const second = await startNode(root, worker);
  expect(await second.uploads.status("u1")).toMatchObject({ offset: 120_000, cut });
  await second.uploads.append("u1", {}, bodyOf(bytes.subarray(120_000, 130_000)), never);
  expect(await (await startNode(root, worker)).uploads.status("u1")).toMatchObject({ offset: 130_000, cut });
});

test("a session that has no bytes yet survives, too", async () => {
  const root = await testRoot();
  await (await startNode(root, worker)).uploads.create("u1", BINDING);
  const { uploads } = await startNode(root, worker);
  expect(await uploads.status("u1")).toMatchObject({ offset: 0 });
  expect(await uploads.cancel("u1")).toBe(true);
  expect(await (await startNode(root, worker)).uploads.status("u1")).toBeUndefined();
});

test("bytes and journal lines past the durable offset are cut off", async () => {
  const root = await testRoot();
  const bytes = sampleBytes(300_000, 2);
  const before = await startNode(root, worker);
  await before.uploads.create("u1", BINDING);
  await before.uploads.append("u1", {}, bodyOf(bytes.subarray(0, 100_000)), never);
  const { data, journal } = before.store.layout.session("u1")!;
  await appendFile(data, "torn");
  await appendFile(journal, '{"offset":100');
  const { uploads } = await startNode(root, worker);
  expect(await uploads.status("u1")).toMatchObject({ offset: 100_000 });
  expect((await stat(data)).size).toBe(100_000);
  await uploads.append("u1", {}, bodyOf(bytes.subarray(100_000)), never);
  expect(await (await startNode(root, worker)).uploads.status("u1")).toMatchObject({ offset: 300_000 });
  expect(await uploads.finish("u1", digestOf(bytes), "c1", never)).toEqual(factsOf(bytes, "sha256"));
});

test("a session whose journal was torn in its first line never was", async () => {
  const root = await testRoot();
  const { store, uploads } = await startNode(root, worker);
  await writeFile(store.layout.session("u1")!.journal, '{"repository":"team/a');
  expect(await uploads.status("u1")).toBeUndefined();
});

test("a complete upload is remembered over a restart, and only its journal is left", async () => {
  const root = await testRoot();
  const bytes = sampleBytes(200_000, 3);
  const digest = digestOf(bytes);
  const { uploads } = await startNode(root, worker);
  await uploads.create("u1", BINDING);
  await uploads.append("u1", { last: true }, bodyOf(bytes), never);
  await uploads.finish("u1", digest, "c1", never);
  await uploads.complete("u1", digest);
  expect((await filesIn(root)).filter((path) => path.startsWith("uploads/"))).toEqual(["uploads/u1.session"]);
  const after = await startNode(root, worker);
  expect(await after.uploads.status("u1")).toMatchObject({ digest, offset: 200_000 });
  expect(after.store.pins()).toEqual([{ digest, commitId: "c1" }]);
});

test("an upload that was finished before a restart takes no more bytes: its file is the pinned blob", async () => {
  const root = await testRoot();
  const bytes = sampleBytes(200_000, 4);
  const digest = digestOf(bytes);
  const before = await startNode(root, worker);
  await before.uploads.create("u1", BINDING);
  await before.uploads.append("u1", {}, bodyOf(bytes), never);
  await before.uploads.finish("u1", digest, "c1", never);
  const { store, uploads } = await startNode(root, worker);
  await expect(uploads.append("u1", {}, bodyOf(bytes), never)).rejects.toMatchObject({ code: "RANGE_INVALID" });
  expect(await uploads.finish("u1", digest, "c2", never)).toEqual(factsOf(bytes, "sha256"));
  expect((await collect(store.open(digest, { start: 0, end: 200_000 }, never))).equals(bytes)).toBe(true);
});

for (const sizeBytes of [0, 20_000, 200_000]) {
  test(`a last chunk of ${sizeBytes} bytes that was pinned before a restart is held whole, and finished again`, async () => {
    const root = await testRoot();
    const bytes = sampleBytes(150_000 + sizeBytes, 4);
    const first = sizeBytes === 0 ? 0 : 150_000;
    const whole = bytes.subarray(150_000 - first);
    const before = await startNode(root, worker);
    await before.uploads.create("u1", BINDING);
    await before.uploads.append("u1", {}, bodyOf(whole.subarray(0, first)), never);
    await before.uploads.append("u1", { last: true }, bodyOf(whole.subarray(first)), never);
    await before.uploads.finish("u1", digestOf(whole), "c1", never);
    const { uploads } = await startNode(root, worker);
    expect(await uploads.status("u1")).toMatchObject({ offset: whole.byteLength, finished: true, digest: undefined });
    expect(await uploads.finish("u1", digestOf(whole), "c2", never)).toEqual(factsOf(whole, "sha256"));
  });
}

test("a digest that does not match leaves no file", async () => {
  const root = await testRoot();
  const { store, uploads } = await startNode(root, worker);
  for (const [id, sizeBytes, last] of [
    ["u1", 1_000, true],
    ["u2", 300_000, false],
  ] as const) {
    const bytes = sampleBytes(sizeBytes, 5);
    await uploads.create(id, BINDING);
    await uploads.append(id, { last }, bodyOf(bytes), never);
    await expect(uploads.finish(id, digestOf(Buffer.from("else")), "c1", never)).rejects.toMatchObject({ code: "DIGEST_INVALID" });
    const wrong = { ...expectedOf(bytes), digest: digestOf(Buffer.from("else")) };
    await expect(store.receive(wrong, "c1", bodyOf(bytes), never)).rejects.toMatchObject({ code: "DIGEST_INVALID" });
  }
  expect(await filesIn(root)).toEqual([]);
});

test("pins and settled blobs of an earlier run are there, counted and listed", async () => {
  const root = await testRoot();
  const before = await startNode(root, worker);
  const [kept, pinned] = [sampleBytes(1_000, 6), sampleBytes(5 * 1024 * 1024, 7)];
  await before.store.receive(expectedOf(kept), "c1", bodyOf(kept), never);
  await before.store.settle({ digest: digestOf(kept), commitId: "c1" }, true);
  await before.store.receive(expectedOf(pinned), "12D3KooW/x.y", bodyOf(pinned), never);
  const { store } = await startNode(root, worker);
  await store.counted;
  expect(store.usage()).toEqual({ blobs: 1, sizeBytes: 1_000 });
  expect(await store.list("", 10)).toEqual([digestOf(kept)]);
  expect(store.pins()).toEqual([{ digest: digestOf(pinned), commitId: "12D3KooW/x.y" }]);
  expect(await store.pieces(digestOf(pinned))).toEqual(factsOf(pinned, "sha256").pieces);
  await store.settle(store.pins()[0]!, false);
  expect(await filesIn(root)).toEqual([`blobs/sha256/${digestOf(kept).slice(7, 9)}/${digestOf(kept).slice(7)}`]);
});

test("usage is right though blobs come and go while those of an earlier run are counted", async () => {
  const root = await testRoot();
  const before = await startNode(root, worker);
  const blobs = Array.from({ length: 30 }, (_, seed) => sampleBytes(100 + seed, seed));
  const put = async (store: typeof before.store, bytes: Uint8Array): Promise<void> => {
    await store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never);
    await store.settle({ digest: digestOf(bytes), commitId: "c1" }, true);
  };
  for (const bytes of blobs.slice(0, 20)) await put(before.store, bytes);
  const { store } = await startNode(root, worker);
  await Promise.all([
    ...blobs.slice(20).map((bytes) => put(store, bytes)),
    ...blobs.slice(0, 10).map((bytes) => store.drop(digestOf(bytes), () => true)),
  ]);
  await store.counted;
  const sizeBytes = blobs.slice(10).reduce((sum, bytes) => sum + bytes.byteLength, 0);
  expect(store.usage()).toEqual({ blobs: 20, sizeBytes });
});

for (const sly of [false, true]) {
  test(`G6: a bit flipped after a good read is found by the next one${sly ? ", though the time of the write was set back" : ""}`, async () => {
    const root = await testRoot();
    const { store } = await startNode(root, worker);
    const bytes = sampleBytes(2 * PIECE_SIZE_BYTES, 8);
    const digest = digestOf(bytes);
    await store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never);
    await store.settle({ digest, commitId: "c1" }, true);
    const read = () => collect(store.open(digest, { start: 0, end: bytes.byteLength }, never));
    if (sly) await utimes(store.layout.blob(digest), 1_000, 1_000); // a time that can be set back to the nanosecond
    expect((await read()).equals(bytes)).toBe(true);
    await flipBit(store.layout.blob(digest), PIECE_SIZE_BYTES + 1);
    if (sly) await utimes(store.layout.blob(digest), 1_000, 1_000);
    await expect(read()).rejects.toMatchObject({ name: "CorruptBlobError", piece: 1 });
    const head = await collect(store.open(digest, { start: 0, end: PIECE_SIZE_BYTES }, never));
    expect(head.equals(bytes.subarray(0, PIECE_SIZE_BYTES))).toBe(true);
    expect(await store.pin(digest, "c2")).toBeUndefined();
    expect(await store.stat(digest)).toBeUndefined();
    expect((await filesIn(root)).map((path) => path.split("/")[0])).toEqual(["quarantine"]);
  });
}

test("G6: a bit flipped, or an end cut off, while the node was down is found after its restart", async () => {
  const root = await testRoot();
  const before = await startNode(root, worker);
  const blobs = [sampleBytes(1_000, 9), sampleBytes(2 * PIECE_SIZE_BYTES, 10), sampleBytes(400_000, 11)];
  for (const bytes of blobs) {
    await before.store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never);
    await before.store.settle({ digest: digestOf(bytes), commitId: "c1" }, true);
  }
  await flipBit(before.store.layout.blob(digestOf(blobs[0]!)), 5);
  await flipBit(before.store.layout.blob(digestOf(blobs[1]!)), 5);
  await truncate(before.store.layout.blob(digestOf(blobs[2]!)), 300_000);
  const { store } = await startNode(root, worker);
  for (const bytes of blobs) {
    const read = collect(store.open(digestOf(bytes), { start: 0, end: bytes.byteLength }, never));
    await expect(read).rejects.toMatchObject({ name: "CorruptBlobError", digest: digestOf(bytes) });
  }
});

test("G6: a blob that is changed while it is read is not handed on to its end", async () => {
  const root = await testRoot();
  const { store } = await startNode(root, worker);
  const bytes = sampleBytes(2 * PIECE_SIZE_BYTES, 12);
  const digest = digestOf(bytes);
  await store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never);
  let came = 0;
  const read = async (): Promise<void> => {
    for await (const chunk of store.open(digest, { start: 0, end: bytes.byteLength }, never)) {
      if (came === 0) await flipBit(store.layout.pin({ digest, commitId: "c1" }), bytes.byteLength - 1);
      came += chunk.byteLength;
    }
  };
  await expect(read()).rejects.toMatchObject({ name: "CorruptBlobError" });
  expect(came).toBeLessThan(bytes.byteLength);
});

test("bytes that were hashed on their way in are not read again to be verified, whatever links came and went", async () => {
  const root = await testRoot();
  const { store, uploads } = await startNode(root, worker);
  const bytes = sampleBytes(2 * PIECE_SIZE_BYTES, 18);
  const digest = digestOf(bytes);
  const expectVerified = async (path: string): Promise<void> => {
    const { stamp, verified } = store.copies.get(digest)!;
    expect(verified).toBe("all");
    expect(stamp).toMatchObject({ ctimeNs: (await store.fs.stat(path)).ctimeNs });
  };
  await uploads.create("u1", BINDING);
  await uploads.append("u1", { last: true }, bodyOf(bytes), never);
  await uploads.finish("u1", digest, "c1", never);
  await expectVerified(store.layout.pin({ digest, commitId: "c1" }));
  await store.settle({ digest, commitId: "c1" }, true);
  await uploads.complete("u1", digest);
  await expectVerified(store.layout.blob(digest));
  await store.receive(expectedOf(bytes), "c2", bodyOf(bytes), never);
  await store.settle({ digest, commitId: "c2" }, false);
  await expectVerified(store.layout.blob(digest));
  await store.drop(digest, () => true);
  const writer = await store.cacheWriter(expectedOf(bytes));
  for (const piece of [1, 0]) await writer!.write(piece, bytes.subarray(piece * PIECE_SIZE_BYTES, (piece + 1) * PIECE_SIZE_BYTES));
  await writer!.finish();
  await expectVerified(store.layout.blob(digest));
});

test("a piece list that is torn, changed or gone is made anew from the bytes", async () => {
  const root = await testRoot();
  const bytes = sampleBytes(2 * PIECE_SIZE_BYTES + 1, 13);
  const digest = digestOf(bytes);
  const { store } = await startNode(root, worker);
  await store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never);
  const list = store.layout.pieceList(digest);
  const damages = [() => truncate(list, 10), () => flipBit(list, 40), () => writeFile(list, ""), () => appendFile(list, "x")];
  for (const damage of damages) {
    await damage();
    const again = (await startNode(root, worker)).store;
    expect(await again.pieces(digest)).toEqual(factsOf(bytes, "sha256").pieces);
    expect((await stat(list)).size).toBe(4 * 32);
  }
});

test("many slow bodies at once do not keep a fast one from its end", async () => {
  const root = await testRoot();
  const { store, uploads } = await startNode(root, worker);
  const { promise: gate, resolve: openGate } = Promise.withResolvers<void>();
  const slow = Array.from({ length: 40 }, async (_, index) => {
    await uploads.create(`slow${index}`, BINDING);
    const body = (async function* () {
      yield sampleBytes(70_000, index);
      await gate;
    })();
    return uploads.append(`slow${index}`, {}, body, never);
  });
  const bytes = sampleBytes(12_000_000, 14);
  await store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never);
  openGate();
  for (const status of await Promise.all(slow)) expect(status.offset).toBe(70_000);
});

test("sessions and reads go on after the hashing threads were ended", async () => {
  const root = await testRoot();
  const mortal = new HashPool({ threads: 2 });
  const { uploads } = await startNode(root, mortal);
  const bytes = sampleBytes(6_000_000, 15);
  await uploads.create("u1", BINDING);
  await uploads.append("u1", {}, bodyOf(bytes.subarray(0, 5_000_000)), never);
  await mortal.close();
  await uploads.append("u1", {}, bodyOf(bytes.subarray(5_000_000)), never).catch(() => undefined); // the first to meet the new thread may fail
  const { offset } = (await uploads.status("u1"))!;
  await uploads.append("u1", { offset }, bodyOf(bytes.subarray(offset)), never);
  expect(await uploads.finish("u1", digestOf(bytes), "c1", never)).toEqual(factsOf(bytes, "sha256"));
  await mortal.close();
});

const bigMiB = process.env.ROADSTEAD_SLOW === "1" ? 1_024 : 24;

test(`a ${bigMiB} MiB upload hashed as sha256 is finished as sha512 by one re-read, pieces too`, { timeout: 180_000 }, async () => {
  const root = await testRoot();
  const { store, uploads } = await startNode(root, worker);
  const block = sampleBytes(1024 * 1024, 16);
  const hash = createHash("sha512");
  const body = (async function* () {
    for (let index = 0; index < bigMiB; index += 1) {
      block[0] = index & 0xff;
      hash.update(block);
      yield block;
    }
  })();
  await uploads.create("u1", BINDING);
  await uploads.append("u1", { last: true }, body, never);
  const digest = digestFromHash("sha512", hash);
  const facts = await uploads.finish("u1", digest, "c1", never);
  expect(facts).toMatchObject({ digest, sizeBytes: bigMiB * 1024 * 1024 });
  expect(facts.pieces.length).toBe(pieceCount(facts.sizeBytes));
  await store.settle({ digest, commitId: "c1" }, true);
  await uploads.complete("u1", digest);
  const file = await open(store.layout.blob(digest));
  const third = Buffer.alloc(PIECE_SIZE_BYTES);
  await file.read(third, 0, PIECE_SIZE_BYTES, 2 * PIECE_SIZE_BYTES);
  await file.close();
  expect(digestOf(third)).toBe(`sha256:${facts.pieces[2]}`);
  const check = createHash(algorithmOf(digest));
  for await (const chunk of store.open(digest, { start: 0, end: facts.sizeBytes }, never)) check.update(chunk);
  expect(digestFromHash("sha512", check)).toBe(digest);
});
