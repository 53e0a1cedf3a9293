import { afterEach, describe, expect, test } from "vitest";
import type { Clock } from "../core/clock.ts";
import { systemClock } from "../core/clock.ts";
import { digestOf } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import type { BlobStore } from "./blob-store.ts";
import { factsOf } from "./facts.ts";
import { bodyOf, brokenBody, collect, sampleBytes } from "./sample-bytes.ts";
import type { UploadBinding, Uploads } from "./uploads.ts";

export interface UploadsUnderTest {
  readonly store: BlobStore;
  readonly uploads: Uploads;
  close(): Promise<void>;
}

const never = new AbortController().signal;
export const BINDING: UploadBinding = { repository: "team/app" as RepositoryName, principal: "anonymous", algorithm: "sha256" };

/** What every `Uploads` does; the maker is to set an expiry of 1,000 ms. */
export function uploadsConformance(name: string, make: (clock: Clock) => Promise<UploadsUnderTest>): void {
  describe(`uploads: ${name}`, () => {
    let opened: UploadsUnderTest[] = [];
    let nowMs = 0;
    const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
    const start: Start = async () => {
      const made = await make(clock);
      opened.push(made);
      return { ...made, advance: (ms) => (nowMs += ms) };
    };
    afterEach(async () => {
      for (const made of opened) await made.close();
      opened = [];
    });
    wholeUploads(start);
    brokenUploads(start);
    cutUploads(start);
    sessionLives(start);
  });
}

type Start = () => Promise<UploadsUnderTest & { advance(ms: number): void }>;

function wholeUploads(start: Start): void {
  for (const sizeBytes of [0, 1, 10_240, 70_000, 5 * 1024 * 1024 + 3]) {
    for (const last of [true, false]) {
      test(`an upload of ${sizeBytes} bytes (${last ? "one body" : "chunks"}) ends as a pinned blob with its facts`, async () => {
        const { store, uploads } = await start();
        const bytes = sampleBytes(sizeBytes, 1);
        await uploads.create("u1", BINDING);
        const cuts = last ? [0, sizeBytes] : [0, Math.floor(sizeBytes / 3), Math.floor(sizeBytes / 2), sizeBytes];
        for (let cut = 1; cut < cuts.length; cut += 1) {
          const part = bytes.subarray(cuts[cut - 1], cuts[cut]);
          const status = await uploads.append("u1", { offset: cuts[cut - 1]!, sizeBytes: part.byteLength, last }, bodyOf(part), never);
          expect(status).toEqual({ ...BINDING, id: "u1", offset: cuts[cut], finished: false, digest: undefined });
        }
        const facts = factsOf(bytes, "sha256");
        expect(await uploads.finish("u1", facts.digest, "c1", never)).toEqual(facts);
        expect(store.pins()).toEqual([{ digest: facts.digest, commitId: "c1" }]);
        await store.settle({ digest: facts.digest, commitId: "c1" }, true);
        await uploads.complete("u1", facts.digest);
        expect((await collect(store.open(facts.digest, { start: 0, end: sizeBytes }, never))).equals(bytes)).toBe(true);
        expect(await store.pieces(facts.digest)).toEqual(facts.pieces);
      });
    }
  }

  test("a stream without offset or length is taken whole", async () => {
    const { uploads } = await start();
    const bytes = sampleBytes(700_001, 2);
    await uploads.create("u1", BINDING);
    expect(await uploads.append("u1", {}, bodyOf(bytes, 7_777), never)).toMatchObject({ offset: 700_001 });
    expect(await uploads.finish("u1", digestOf(bytes), "c1", never)).toMatchObject({ digest: digestOf(bytes) });
  });

  test("a digest of another algorithm than was hashed is checked all the same", async () => {
    const { uploads } = await start();
    const bytes = sampleBytes(5 * 1024 * 1024, 3);
    for (const [id, hashed, asked] of [
      ["u1", "sha256", "sha512"],
      ["u2", "sha512", "sha256"],
      ["u3", "sha512", "sha512"],
    ] as const) {
      await uploads.create(id, { ...BINDING, algorithm: hashed });
      await uploads.append(id, {}, bodyOf(bytes), never);
      expect(await uploads.finish(id, digestOf(bytes, asked), "c1", never)).toEqual(factsOf(bytes, asked));
    }
  });

  test("finishing again under another commit id pins again, and takes no more bytes", async () => {
    const { store, uploads } = await start();
    const bytes = sampleBytes(90_000, 4);
    const digest = digestOf(bytes);
    await uploads.create("u1", BINDING);
    await uploads.append("u1", {}, bodyOf(bytes), never);
    await uploads.finish("u1", digest, "c1", never);
    await expect(uploads.append("u1", {}, bodyOf(bytes), never)).rejects.toMatchObject({
      code: "RANGE_INVALID",
      detail: { offset: 90_000 },
    });
    expect(await uploads.append("u1", {}, bodyOf(new Uint8Array()), never)).toMatchObject({ offset: 90_000 });
    await store.settle({ digest, commitId: "c1" }, false);
    expect(await uploads.finish("u1", digest, "c2", never)).toEqual(factsOf(bytes, "sha256"));
    expect(store.pins()).toEqual([{ digest, commitId: "c2" }]);
  });
}

function brokenUploads(start: Start): void {
  test("a chunk out of order is RANGE_INVALID with the bytes held, and changes nothing", async () => {
    const { uploads } = await start();
    await uploads.create("u1", BINDING);
    await uploads.append("u1", { offset: 0 }, bodyOf(sampleBytes(100, 5)), never);
    for (const offset of [0, 99, 101]) {
      const again = uploads.append("u1", { offset }, bodyOf(sampleBytes(100, 5)), never);
      await expect(again).rejects.toMatchObject({ code: "RANGE_INVALID", detail: { offset: 100 } });
    }
    expect(await uploads.status("u1")).toMatchObject({ offset: 100 });
  });

  test("a second writer is RANGE_INVALID while the first is at work", async () => {
    const { uploads } = await start();
    await uploads.create("u1", BINDING);
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
    const slow = (async function* () {
      onAsked();
      await gate;
      yield new Uint8Array(10);
    })();
    const first = uploads.append("u1", {}, slow, never);
    await asked;
    await expect(uploads.append("u1", {}, bodyOf(new Uint8Array(5)), never)).rejects.toMatchObject({ code: "RANGE_INVALID" });
    await expect(uploads.finish("u1", digestOf(new Uint8Array()), "c1", never)).rejects.toMatchObject({ code: "RANGE_INVALID" });
    open();
    expect(await first).toMatchObject({ offset: 10 });
  });

  for (const sizeBytes of [1_000, 300_000]) {
    test(`a body of ${sizeBytes} bytes that ends early, breaks or is aborted keeps what came`, async () => {
      const { uploads } = await start();
      const bytes = sampleBytes(3 * sizeBytes + 10, 6);
      const part = (index: number) => bytes.subarray(index * sizeBytes, (index + 1) * sizeBytes);
      await uploads.create("u1", BINDING);
      const early = uploads.append("u1", { sizeBytes: sizeBytes + 1, last: true }, bodyOf(part(0)), never);
      await expect(early).rejects.toMatchObject({ code: "SIZE_INVALID" });
      expect(await uploads.status("u1")).toMatchObject({ offset: sizeBytes });
      await expect(uploads.append("u1", {}, brokenBody(part(1), new Error("reset")), never)).rejects.toThrow("reset");
      expect(await uploads.status("u1")).toMatchObject({ offset: 2 * sizeBytes });
      const abort = new AbortController();
      const left = (async function* () {
        yield* bodyOf(part(2));
        abort.abort();
        yield new Uint8Array(1);
      })();
      await expect(uploads.append("u1", {}, left, abort.signal)).rejects.toMatchObject({ name: "AbortError" });
      expect(await uploads.status("u1")).toMatchObject({ offset: 3 * sizeBytes });
      await uploads.append("u1", { offset: 3 * sizeBytes, last: true }, bodyOf(bytes.subarray(3 * sizeBytes)), never);
      expect(await uploads.finish("u1", digestOf(bytes), "c1", never)).toEqual(factsOf(bytes, "sha256"));
    });
  }

  test("a digest that does not match ends the session and keeps nothing", async () => {
    const { store, uploads } = await start();
    for (const [id, sizeBytes, last] of [
      ["u1", 500, true],
      ["u2", 500, false],
      ["u3", 500_000, true],
    ] as const) {
      await uploads.create(id, BINDING);
      await uploads.append(id, { last }, bodyOf(sampleBytes(sizeBytes, 7)), never);
      await expect(uploads.finish(id, digestOf(Buffer.from("else")), "c1", never)).rejects.toMatchObject({ code: "DIGEST_INVALID" });
      expect(await uploads.status(id)).toBeUndefined();
      await expect(uploads.append(id, {}, bodyOf(new Uint8Array(1)), never)).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
    }
    expect(store.pins()).toEqual([]);
  });
}

function cutUploads(start: Start): void {
  for (const sizeBytes of [1_000, 300_000]) {
    test(`a last body of ${sizeBytes} bytes that is cut is told by what it was to be; one that says where it begins is the rest, and changes nothing`, async () => {
      const { uploads } = await start();
      const bytes = sampleBytes(sizeBytes, 9);
      const digest = digestOf(bytes);
      const broken = (from: number, to: number) => brokenBody(bytes.subarray(from, to), new Error("reset"));
      await uploads.create("u1", BINDING);
      await uploads.append("u1", {}, bodyOf(bytes.subarray(0, 10)), never);
      await expect(uploads.append("u1", { last: true, sizeBytes: sizeBytes - 10 }, broken(10, 20), never)).rejects.toThrow("reset");
      expect((await uploads.status("u1"))?.cut).toBeUndefined();
      await expect(uploads.append("u1", { last: true, digest, sizeBytes: sizeBytes - 20 }, broken(20, 400), never)).rejects.toThrow(
        "reset",
      );
      const cut = { digest, start: 20, sizeBytes: sizeBytes - 20 };
      expect(await uploads.status("u1")).toMatchObject({ offset: 400, cut });
      const rest = { last: true, digest, offset: 400, sizeBytes: sizeBytes - 400 };
      await expect(uploads.append("u1", rest, broken(400, 500), never)).rejects.toThrow("reset");
      expect(await uploads.status("u1")).toMatchObject({ offset: 500, cut });
    });
  }
}

function sessionLives(start: Start): void {
  test("a session that is not there is BLOB_UPLOAD_UNKNOWN, also under a name that is no id", async () => {
    const { uploads } = await start();
    for (const id of ["u1", "../u1", "", "a/b", "\ud800", "x".repeat(5_000)]) {
      expect(await uploads.status(id)).toBeUndefined();
      expect(await uploads.cancel(id)).toBe(false);
      await expect(uploads.append(id, {}, bodyOf(new Uint8Array(1)), never)).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
    }
  });

  test("a complete session is remembered with its digest, and expires", async () => {
    const { uploads } = await start();
    const bytes = sampleBytes(500, 8);
    const digest = digestOf(bytes);
    await uploads.create("u1", BINDING);
    await uploads.append("u1", { last: true }, bodyOf(bytes), never);
    await uploads.finish("u1", digest, "c1", never);
    await uploads.complete("u1", digest);
    expect(await uploads.status("u1")).toMatchObject({ digest });
    expect(await uploads.cancel("u1")).toBe(false);
    await expect(uploads.append("u1", {}, bodyOf(bytes), never)).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
    await expect(uploads.finish("u1", digest, "c2", never)).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
    await uploads.complete("never-was", digest);
  });

  test("a cancelled session is gone, and the request that writes to it ends", async () => {
    const { uploads } = await start();
    await uploads.create("u1", BINDING);
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
    const slow = (async function* () {
      onAsked();
      yield new Uint8Array(10);
      await gate;
      yield new Uint8Array(10);
    })();
    const writing = uploads.append("u1", {}, slow, never);
    const ended = expect(writing).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
    await asked;
    expect(await uploads.cancel("u1")).toBe(true);
    expect(await uploads.status("u1")).toBeUndefined();
    open();
    await ended;
    expect(await uploads.cancel("u1")).toBe(false);
    expect(await uploads.status("u1")).toBeUndefined();
  });

  test("only sessions that were idle for longer than the limit expire", async () => {
    const { uploads, advance } = await start();
    await uploads.create("old", BINDING);
    await uploads.append("old", {}, bodyOf(sampleBytes(100, 9)), never);
    advance(800);
    await uploads.create("young", BINDING);
    advance(300);
    expect(await uploads.expire()).toBe(1);
    expect(await uploads.status("old")).toBeUndefined();
    expect(await uploads.status("young")).toMatchObject({ offset: 0 });
  });
}
