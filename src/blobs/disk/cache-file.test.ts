import { expect, test } from "vitest";
import { PIECE_SIZE_BYTES, type PieceHash } from "../../core/pieces.ts";
import { factsOf } from "../facts.ts";
import { collect, sampleBytes } from "../sample-bytes.ts";
import { storeOfEachTest } from "./test-node.ts";

const never = new AbortController().signal;
const BYTES = sampleBytes(2 * PIECE_SIZE_BYTES + 1_000, 40);
const FACTS = factsOf(BYTES, "sha256");
const ALL = { start: 0, end: BYTES.byteLength };
const each = storeOfEachTest();

function pieceOf(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * PIECE_SIZE_BYTES, (index + 1) * PIECE_SIZE_BYTES);
}

async function cacheOf(bytes: Uint8Array, list: readonly PieceHash[]): Promise<void> {
  const writer = await each.store.cacheWriter(FACTS);
  for (const index of FACTS.pieces.keys()) await writer!.write(index, pieceOf(bytes, index));
  await writer!.finish(list);
}

test("G6: pieces of a cached copy that was finished under its list are hashed when a reader comes for them, and a wrong one is never handed on", async () => {
  const wrong = Uint8Array.from(BYTES);
  wrong[PIECE_SIZE_BYTES + 7]! ^= 1;
  await cacheOf(wrong, FACTS.pieces);
  expect(each.store.copies.get(FACTS.digest)?.verified).toEqual(new Set());
  const got: Buffer[] = [];
  const read = async (): Promise<void> => {
    for await (const chunk of each.store.open(FACTS.digest, ALL, never)) got.push(Buffer.from(chunk));
  };
  await expect(read()).rejects.toMatchObject({ name: "CorruptBlobError", piece: 1 });
  expect(Buffer.concat(got).equals(pieceOf(BYTES, 0))).toBe(true);
});

test("G6: a list that is not the one of the record proves nothing: all bytes are hashed", async () => {
  const wrong = Uint8Array.from(BYTES);
  wrong[0]! ^= 1;
  await expect(cacheOf(wrong, factsOf(wrong, "sha256").pieces)).rejects.toMatchObject({ code: "DIGEST_INVALID" });
  await cacheOf(BYTES, factsOf(wrong, "sha256").pieces);
  expect(each.store.copies.get(FACTS.digest)?.verified).toBe("all");
});

test("a cached copy that was finished under its list is settled, with the list beside it", async () => {
  await cacheOf(BYTES, FACTS.pieces);
  expect(await each.store.stat(FACTS.digest)).toMatchObject({ settled: true });
  expect(await each.store.pieces(FACTS.digest)).toEqual(FACTS.pieces);
  expect((await collect(each.store.open(FACTS.digest, ALL, never))).equals(BYTES)).toBe(true);
  expect(each.store.copies.get(FACTS.digest)?.verified).toBe("all");
});
