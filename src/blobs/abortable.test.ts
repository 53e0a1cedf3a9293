import { expect, test } from "vitest";
import { abortable } from "./abortable.ts";

test("a chunk that was read is held by nobody, however long the body goes on", async () => {
  const held: WeakRef<Uint8Array>[] = [];
  const registry = new FinalizationRegistry<number>(() => {
    freed += 1;
  });
  let freed = 0;
  const source = async function* (): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 200; i += 1) {
      const chunk = new Uint8Array(1024 * 1024);
      held.push(new WeakRef(chunk));
      registry.register(chunk, i);
      yield chunk;
    }
  };
  for await (const _ of abortable(source(), new AbortController().signal)) await new Promise((resolve) => setImmediate(resolve));
  const alive = held.filter((reference) => reference.deref() !== undefined).length;
  expect(alive, `${freed} of 200 chunks of 1 MiB were freed on the way`).toBeLessThan(150);
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
