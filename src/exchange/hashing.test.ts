import { expect, test } from "vitest";
import { sampleBytes } from "../blobs/sample-bytes.ts";
import { digestOf } from "../core/digest.ts";
import { hashPiece, type PieceHash } from "../core/pieces.ts";
import { digestAside, hashAsItComes, type StartHash } from "./hashing.ts";

const BYTES = sampleBytes(200_000, 23);
const SHARED = new Uint8Array(new SharedArrayBuffer(BYTES.byteLength));
SHARED.set(BYTES);

const startWith =
  (digest: () => Promise<PieceHash>): StartHash =>
  () => ({ update() {}, digest, end() {} });

test("G6: bytes in shared memory have the hash that the thread says, others never leave the event loop", async () => {
  const ofThread = startWith(async () => "of the thread" as PieceHash);
  const shared = hashAsItComes(SHARED, ofThread);
  shared.update(SHARED);
  expect(await shared.digest()).toBe("of the thread");
  const own = hashAsItComes(BYTES, ofThread);
  own.update(BYTES);
  expect(await own.digest()).toBe(hashPiece(BYTES));
});

test("G6: bytes of which a thread failed, or that none would take, are hashed here", async () => {
  const failing = hashAsItComes(
    SHARED,
    startWith(() => Promise.reject(new Error("the thread died"))),
  );
  failing.update(SHARED.subarray(0, 1000));
  expect(await failing.digest()).toBe(hashPiece(BYTES));
  const none = hashAsItComes(SHARED, () => undefined);
  none.update(SHARED);
  expect(await none.digest()).toBe(hashPiece(BYTES));
});

test("a digest of shared memory is made, though WebCrypto takes none", async () => {
  const sha512 = digestOf(BYTES, "sha512");
  expect(await digestAside(SHARED, sha512)).toBe(sha512);
});
