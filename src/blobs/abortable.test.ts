import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { abortable } from "./abortable.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

test("a chunk that was read is held by nobody, however long the body goes on", async () => {
  const held: WeakRef<Uint8Array>[] = [];
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 50; i += 1) {
      const chunk = new Uint8Array(1024 * 1024);
      held.push(new WeakRef(chunk));
      yield chunk;
    }
  };
  for await (const _ of abortable(source(), new AbortController().signal)) {
    await new Promise((resolve) => setImmediate(resolve));
    if (held.length < 40) continue;
    collectGarbage();
    expect(held.filter((reference) => reference.deref() !== undefined).length, "chunks alive of 40 that were read").toBeLessThanOrEqual(2);
    return;
  }
  expect.unreachable("the source has 50 chunks");
});

test("an abort leaves a source whose read never ends", async () => {
  const controller = new AbortController();
  let returned = false;
  const stuck: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => undefined),
      return: async () => {
        returned = true;
        return { done: true, value: undefined };
      },
    }),
  };
  const reading = (async () => {
    for await (const _ of abortable(stuck, controller.signal));
  })();
  setImmediate(() => controller.abort(new DOMException("gone", "AbortError")));
  await expect(reading).rejects.toMatchObject({ name: "AbortError" });
  expect(returned).toBe(true);
});

test("an abort between two reads fails the next one, and leaves the source", async () => {
  const controller = new AbortController();
  let left = false;
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield new Uint8Array(1);
    } finally {
      left = true;
    }
  };
  const reads = abortable(source(), controller.signal);
  await reads.next();
  controller.abort(new DOMException("gone", "AbortError"));
  await expect(reads.next()).rejects.toMatchObject({ name: "AbortError" });
  expect(left).toBe(true);
  expect(await reads.next()).toEqual({ done: true, value: undefined });
});

test("a source that throws or ends is not left once more", async () => {
  let returned = 0;
  const ending = (next: () => Promise<IteratorResult<Uint8Array>>): AsyncIterable<Uint8Array> => ({
    [Symbol.asyncIterator]: () => ({
      next,
      return: async () => {
        returned += 1;
        return { done: true, value: undefined };
      },
    }),
  });
  const { signal } = new AbortController();
  const thrown = abortable(
    ending(() => Promise.reject(new Error("broken"))),
    signal,
  );
  await expect(thrown.next()).rejects.toThrow("broken");
  await thrown.return?.();
  for await (const _ of abortable(
    ending(async () => ({ done: true, value: undefined })),
    signal,
  ));
  expect(returned).toBe(0);
});
