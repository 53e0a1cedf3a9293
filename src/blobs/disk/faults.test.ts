import { open } from "node:fs/promises";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { digestOf } from "../../core/digest.ts";
import { expectedOf } from "../blob-store.conformance.ts";
import { factsOf } from "../facts.ts";
import { bodyOf, collect, sampleBytes } from "../sample-bytes.ts";
import { BINDING } from "../uploads.conformance.ts";
import { type Call, FaultyFileSystem, FullDisk, systemError } from "./faulty-file-system.ts";
import { threadFileSystem } from "./file-system.ts";
import { inPlace } from "./hash-lane.ts";
import { HashPool } from "./hash-pool.ts";
import { filesIn, makeRoot, startNode } from "./test-node.ts";

const never = new AbortController().signal;
const worker = new HashPool({ threads: 2, startLane: inPlace(threadFileSystem) });
afterAll(() => worker.close());

async function testRoot(): Promise<string> {
  const { root, remove } = await makeRoot();
  onTestFinished(remove);
  return root;
}

async function faultyNode(pool = worker) {
  const fs = new FaultyFileSystem();
  const root = await testRoot();
  return { fs, root, ...(await startNode(root, pool, fs)) };
}

test("a full disk is INSUFFICIENT_STORAGE, the session keeps what was written, and goes on once there is room", async () => {
  const disk = new FullDisk(1_000_000);
  const { uploads } = await faultyNode(new HashPool({ threads: 2, startLane: inPlace(disk) }));
  const bytes = sampleBytes(3_000_000, 1);
  await uploads.create("u1", BINDING);
  await uploads.append("u1", {}, bodyOf(bytes.subarray(0, 500_000)), never);
  const full = uploads.append("u1", { offset: 500_000 }, bodyOf(bytes.subarray(500_000)), never);
  await expect(full).rejects.toMatchObject({ code: "INSUFFICIENT_STORAGE" });
  const { offset } = (await uploads.status("u1"))!;
  expect(offset).toBeGreaterThanOrEqual(500_000);
  expect(offset).toBeLessThanOrEqual(1_000_000);
  disk.roomBytes = Number.POSITIVE_INFINITY;
  await uploads.append("u1", { offset }, bodyOf(bytes.subarray(offset)), never);
  expect(await uploads.finish("u1", digestOf(bytes), "c1", never)).toEqual(factsOf(bytes, "sha256"));
});

test("blobs stop before the disk is full: its log shares it, and a node that cannot write that ends", async () => {
  const { fs, uploads, store } = await faultyNode();
  const MIB = 1024 * 1024;
  const bytes = sampleBytes(3 * MIB, 1);
  fs.spaceLeft = { freeBytes: 60 * MIB, sizeBytes: 500 * MIB };
  await uploads.create("u1", BINDING);
  await uploads.append("u1", {}, bodyOf(bytes.subarray(0, MIB)), never);
  fs.spaceLeft = { freeBytes: 50 * MIB, sizeBytes: 500 * MIB };
  const many = sampleBytes(20 * MIB, 2); // more than was granted before
  await expect(uploads.append("u1", {}, bodyOf(many), never)).rejects.toMatchObject({ code: "INSUFFICIENT_STORAGE" });
  const { offset } = (await uploads.status("u1"))!;
  expect(offset).toBeGreaterThanOrEqual(MIB);
  expect(offset).toBeLessThan(MIB + 8 * MIB);
  const refusal = { code: "INSUFFICIENT_STORAGE" };
  await expect(uploads.create("u2", BINDING)).rejects.toMatchObject(refusal);
  for (const body of [bytes, sampleBytes(10, 3)])
    await expect(store.receive(expectedOf(body), "c1", bodyOf(body), never)).rejects.toMatchObject(refusal);
  expect(await filesIn(store.layout.staging)).toEqual([]);
  fs.spaceLeft = { freeBytes: 200 * MIB, sizeBytes: 500 * MIB };
  await uploads.append("u1", { offset }, bodyOf(many.subarray(offset - MIB)), never);
  expect((await uploads.status("u1"))!.offset).toBe(21 * MIB);
});

test("bytes that a chunk has made durable are not fsynced again to be finished, and a piece list not at all", async () => {
  const { fs, uploads } = await faultyNode();
  const bytes = sampleBytes(5_000_000, 7);
  await uploads.create("u1", BINDING);
  await uploads.append("u1", {}, bodyOf(bytes), never);
  await uploads.finish("u1", digestOf(bytes), "c1", never);
  const synced = fs.calls.filter(({ call }) => call === "datasync").map(({ path }) => path.replace(/.*\./, ""));
  expect(synced).toEqual(["data", "session"]);
});

for (const last of [false, true]) {
  test(`G1: an fsync that fails while a large body comes (${last ? "the last" : "a chunk"}) fails the request, though a later one would succeed`, async () => {
    const { fs, root, uploads } = await faultyNode();
    const bytes = sampleBytes(48 * 1024 * 1024, 5);
    await uploads.create("u1", BINDING);
    await uploads.append("u1", {}, bodyOf(bytes.subarray(0, 100_000)), never);
    let failures = 0;
    fs.before = ({ call, path }) => {
      if (call !== "datasync" || !path.endsWith(".data") || failures > 0) return;
      failures += 1;
      throw systemError("EIO");
    };
    const failing = uploads.append("u1", { last }, bodyOf(bytes.subarray(100_000)), never);
    await expect(failing).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await uploads.status("u1")).toMatchObject({ offset: 100_000 });
    expect(await (await startNode(root, worker)).uploads.status("u1")).toMatchObject({ offset: 100_000 });
    await uploads.append("u1", { offset: 100_000 }, bodyOf(bytes.subarray(100_000)), never);
    expect(await uploads.finish("u1", digestOf(bytes), "c1", never)).toEqual(factsOf(bytes, "sha256"));
  });
}

test("G1: a copy is not kept where an fsync failed while it came, though the last one succeeds", async () => {
  const { fs, root, store } = await faultyNode();
  const bytes = sampleBytes(48 * 1024 * 1024, 6);
  let failures = 0;
  fs.before = ({ call, path }) => {
    if (call !== "datasync" || !path.includes("staging") || failures > 0) return;
    failures += 1;
    throw systemError("EIO");
  };
  await expect(store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(failures).toBe(1);
  expect(await filesIn(root)).toEqual([]);
});

test("with the reserve begun blobs are refused, with half of it gone the log has no room to give either; a size that is not told is no shortage", async () => {
  const { fs, store } = await faultyNode();
  const MIB = 1024 * 1024;
  for (const [freeMib, low] of [
    [50, "no"],
    [49, "blobs"],
    [25, "blobs"],
    [24, "writes"],
  ] as const) {
    fs.spaceLeft = { freeBytes: freeMib * MIB, sizeBytes: 500 * MIB };
    expect(await store.reserve.state()).toEqual({ freeBytes: freeMib * MIB, reserveBytes: 50 * MIB, low });
    const asked = store.reserve.assertLogRoom();
    if (low === "writes") await expect(asked).rejects.toMatchObject({ code: "INSUFFICIENT_STORAGE" });
    else await asked;
  }
  fs.spaceLeft = { freeBytes: 0, sizeBytes: 0 };
  await store.reserve.assertLogRoom();
});

test("G2: a blob that is settled between the look for its pin and the opening is read all the same", async () => {
  for (const sizeBytes of [10_000, 500_000]) {
    const { fs, store } = await faultyNode();
    const bytes = sampleBytes(sizeBytes, 8);
    const expected = expectedOf(bytes);
    await store.receive(expected, "c1", bodyOf(bytes), never);
    const open = fs.open.bind(fs);
    fs.open = async (path, flags) => {
      if (path.includes("/pending/")) await store.settle({ digest: expected.digest, commitId: "c1" }, true);
      return open(path, flags);
    };
    expect((await collect(store.open(expected.digest, { start: 0, end: sizeBytes }, never))).equals(bytes)).toBe(true);
  }
});

test("G2: pieces are told, and another pin is made, of a blob that is settled between the look for its pin and the use of it", async () => {
  for (const when of ["before", "after"] as const) {
    const { fs, store } = await faultyNode();
    const bytes = sampleBytes(5_000_000, 8);
    const expected = expectedOf(bytes);
    const facts = await store.receive(expected, "c1", bodyOf(bytes), never);
    const open = fs.open.bind(fs);
    fs.open = async (path, flags) => {
      const isPin = path.includes("/pending/");
      if (isPin && when === "before") await store.settle({ digest: expected.digest, commitId: "c1" }, true);
      const file = await open(path, flags);
      if (isPin && when === "after") await store.settle({ digest: expected.digest, commitId: "c1" }, true);
      return file;
    };
    if (when === "before") expect(await store.pieces(expected.digest)).toEqual(facts.pieces);
    else expect(await store.pin(expected.digest, "c2")).toEqual(facts);
  }
});

test("a file system that does not tell its size has no reserve", async () => {
  const { fs, uploads } = await faultyNode();
  fs.spaceLeft = { freeBytes: 0, sizeBytes: 0 };
  await uploads.create("u1", BINDING);
  await uploads.append("u1", {}, bodyOf(sampleBytes(200_000, 1)), never);
  expect((await uploads.status("u1"))!.offset).toBe(200_000);
});

test("a full disk in the thread has the kernel's code", async () => {
  const threads = new HashPool({ threads: 1 });
  const full = await open("/dev/full", "w");
  try {
    const job = threads.job("sha256");
    void job.feed([new Uint8Array(4_096)], 4_096, full.fd);
    await job.idle();
    expect(job.failure).toMatchObject({ code: "ENOSPC" });
    expect(job.done).toBe(0);
  } finally {
    await full.close();
    await threads.close();
  }
});

for (const [what, fails] of Object.entries({
  "the data": (call: Call) => call.call === "datasync" && call.path.endsWith(".data"),
  "the journal": (call: Call) => call.call === "datasync" && call.path.endsWith(".session"),
})) {
  for (const code of ["ENOSPC", "EIO"]) {
    test(`a failed fsync of ${what} (${code}) takes the session back to its durable offset, and is no success later`, async () => {
      const { fs, root, uploads } = await faultyNode();
      const bytes = sampleBytes(400_000, 2);
      await uploads.create("u1", BINDING);
      await uploads.append("u1", {}, bodyOf(bytes.subarray(0, 100_000)), never);
      fs.before = (call) => {
        if (fails(call)) throw systemError(code);
      };
      const failing = uploads.append("u1", {}, bodyOf(bytes.subarray(100_000)), never);
      await expect(failing).rejects.toMatchObject({ code: code === "EIO" ? "UNAVAILABLE" : "INSUFFICIENT_STORAGE" });
      expect(await uploads.status("u1")).toMatchObject({ offset: 100_000 });
      fs.before = () => {};
      expect(await (await startNode(root, worker)).uploads.status("u1")).toMatchObject({ offset: 100_000 });
      await uploads.append("u1", { offset: 100_000 }, bodyOf(bytes.subarray(100_000)), never);
      expect(await uploads.finish("u1", digestOf(bytes), "c1", never)).toEqual(factsOf(bytes, "sha256"));
    });
  }
}

for (const sizeBytes of [1_000, 300_000]) {
  for (const call of ["datasync", "link", "syncFolder"] as const) {
    test(`G1: a ${call} that fails while ${sizeBytes} bytes are received is no acknowledgement`, async () => {
      const { fs, store } = await faultyNode();
      const bytes = sampleBytes(sizeBytes, 3);
      fs.before = (seen) => {
        if (seen.call === call) throw systemError("EIO");
      };
      await expect(store.receive(expectedOf(bytes), "c1", bodyOf(bytes), never)).rejects.toMatchObject({ code: "UNAVAILABLE" });
      expect(store.pins()).toEqual([]);
    });

    test(`G1: a ${call} that fails while an upload of ${sizeBytes} bytes is finished is no acknowledgement, and finishing again may be one`, async () => {
      const { fs, store, uploads } = await faultyNode();
      const bytes = sampleBytes(sizeBytes, 3);
      const digest = digestOf(bytes);
      await uploads.create("u1", BINDING);
      await uploads.append("u1", { last: true }, bodyOf(bytes), never);
      fs.before = (seen) => {
        if (seen.call === call) throw systemError("EIO");
      };
      await expect(uploads.finish("u1", digest, "c1", never)).rejects.toMatchObject({ code: "UNAVAILABLE" });
      expect(store.pins()).toEqual([]);
      fs.before = () => {};
      const { offset } = (await uploads.status("u1"))!;
      await uploads.append("u1", { offset }, bodyOf(bytes.subarray(offset)), never);
      expect(await uploads.finish("u1", digest, "c1", never)).toEqual(factsOf(bytes, "sha256"));
      expect(store.pins()).toEqual([{ digest, commitId: "c1" }]);
    });
  }
}

test("a body's own failure stays what it is, also with a system error's code", async () => {
  const { store } = await faultyNode();
  const reset = systemError("ECONNRESET");
  const body = (async function* () {
    yield new Uint8Array(10);
    throw reset;
  })();
  await expect(store.receive(expectedOf(sampleBytes(100, 4)), "c1", body, never)).rejects.toBe(reset);
});

test("G1: bytes are durable before a pin names them, the pin before it is acknowledged, the blob before its pin goes", async () => {
  const { fs, store } = await faultyNode();
  const bytes = sampleBytes(300_000, 5);
  const expected = expectedOf(bytes);
  const order = (): string[] =>
    fs.calls.map(({ call, path }) => `${call} ${path.slice(store.layout.blobs.length - "blobs".length)}`.replace(/[0-9a-f]{32,}/, "#"));
  fs.calls.length = 0;
  await store.receive(expected, "c1", bodyOf(bytes), never);
  const received = order();
  const steps = (seen: string[], wanted: string[]) => expect(seen.filter((step) => wanted.includes(step))).toEqual(wanted);
  steps(received, ["datasync staging/#", "link pending/sha256-#.c1", "syncFolder pending"]);
  fs.calls.length = 0;
  await store.settle({ digest: expected.digest, commitId: "c1" }, true);
  const fanOut = `blobs/sha256/${expected.digest.slice(7, 9)}`;
  steps(order(), [`link ${fanOut}/#`, `syncFolder ${fanOut}`, "unlink pending/sha256-#.c1"]);
});

test("G1: a crash at any step leaves what was acknowledged, and nothing half done that is visible", async () => {
  const bytes = sampleBytes(5_000_000, 6);
  const expected = expectedOf(bytes);
  const { digest } = expected;
  for (let crashAfter = 0, isThrough = false; !isThrough; crashAfter += 1) {
    const root = await testRoot();
    const fs = new FaultyFileSystem();
    const before = await startNode(root, worker, fs);
    fs.crashAfter = fs.calls.filter(({ call }) => !["stat", "read", "readdir", "close"].includes(call)).length + crashAfter;
    let acknowledged = false;
    try {
      await before.store.receive(expected, "c1", bodyOf(bytes), never);
      acknowledged = true;
      await before.store.settle({ digest, commitId: "c1" }, true);
      isThrough = true;
    } catch (error) {
      expect(String(error)).toContain("crashed");
    }
    const { store } = await startNode(root, worker);
    expect((await filesIn(root)).filter((path) => path.startsWith("staging/"))).toEqual([]);
    const found = await store.stat(digest);
    if (acknowledged) expect(found).toBeDefined();
    if (found !== undefined) {
      expect((await collect(store.open(digest, { start: 0, end: bytes.byteLength }, never))).equals(bytes)).toBe(true);
      expect(await store.pieces(digest)).toEqual(factsOf(bytes, "sha256").pieces);
    }
    if (found?.settled === false) {
      expect(store.pins()).toEqual([{ digest, commitId: "c1" }]);
      await store.settle({ digest, commitId: "c1" }, true);
      expect(await store.list("", 2)).toEqual([digest]);
    }
    if (isThrough) expect(crashAfter).toBeGreaterThan(8);
  }
});
