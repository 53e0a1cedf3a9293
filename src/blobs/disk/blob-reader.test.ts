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
