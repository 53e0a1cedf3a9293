import { link, unlink } from "node:fs/promises";
import { expect, test } from "vitest";
import { PIECE_SIZE_BYTES } from "../../core/pieces.ts";
import { factsOf } from "../facts.ts";
import { bodyOf, collect, sampleBytes } from "../sample-bytes.ts";
import { storeOfEachTest } from "./test-node.ts";

const never = new AbortController().signal;
const BYTES = sampleBytes(4 * PIECE_SIZE_BYTES, 41);
const FACTS = factsOf(BYTES, "sha256");
const ALL = { start: 0, end: BYTES.byteLength };
const each = storeOfEachTest();

test("G1: a good copy that is being read is not called damaged when a link changes the state of its file and another reader begins", async () => {
  await each.store.receive(FACTS, "c1", bodyOf(BYTES), never);
  await each.store.settle({ digest: FACTS.digest, commitId: "c1" }, true);
  const first = each.store.open(FACTS.digest, ALL, never)[Symbol.asyncIterator]();
  const got = [Buffer.from((await first.next()).value as Uint8Array)];
  const path = each.store.layout.blob(FACTS.digest);
  await link(path, `${path}.again`);
  await unlink(`${path}.again`);
  const second = each.store.open(FACTS.digest, ALL, never)[Symbol.asyncIterator]();
  await second.next();
  expect(each.store.copies.get(FACTS.digest)?.verified).not.toBe("all");
  for (let next = await first.next(); next.done !== true; next = await first.next()) got.push(Buffer.from(next.value));
  expect(Buffer.concat(got).equals(BYTES)).toBe(true);
  await second.return?.();
  expect((await collect(each.store.open(FACTS.digest, ALL, never))).equals(BYTES)).toBe(true);
});

test("a reader that began alone takes smaller chunks once others read too, frees its large buffers, and gives the same bytes", async () => {
  await each.store.receive(FACTS, "c1", bodyOf(BYTES), never);
  const reader = each.store.open(FACTS.digest, ALL, never)[Symbol.asyncIterator]();
  const large: Uint8Array[] = [];
  const got: Buffer[] = [];
  for (let count = 0; count < 3; count += 1) {
    const { value } = (await reader.next()) as { readonly value: Uint8Array };
    large.push(value);
    got.push(Buffer.from(value));
  }
  const others = [1, 2, 3, 4].map(() => each.store.open(FACTS.digest, ALL, never)[Symbol.asyncIterator]());
  for (const other of others) await other.next();
  const sizes: number[] = [];
  for (let next = await reader.next(); next.done !== true; next = await reader.next()) {
    sizes.push(next.value.byteLength);
    got.push(Buffer.from(next.value));
  }
  for (const other of others) await other.return?.();
  expect(large.map((chunk) => chunk.byteLength)).toEqual([0, 0, 0]);
  expect(Math.max(...sizes.slice(1))).toBe(128 * 1024); // the first of them was being read already
  expect(Buffer.concat(got).equals(BYTES)).toBe(true);
});
