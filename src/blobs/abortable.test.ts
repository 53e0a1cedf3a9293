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
