import { expect, test } from "vitest";
import { Lanes } from "./lanes.ts";

function setUp() {
  const lanes = new Lanes();
  const open = new Map<string, PromiseWithResolvers<boolean>>();
  const begun: string[] = [];
  const begin = (name: string, sizeBytes = 1): Promise<void> =>
    lanes.begin(sizeBytes, () => {
      begun.push(name);
      const work = Promise.withResolvers<boolean>();
      open.set(name, work);
      return work.promise;
    });
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { lanes, open, begun, begin, turn };
}

test("one at a time until one has come to something, then several, and one again after a failure", async () => {
  const { lanes, open, begun, begin, turn } = setUp();
  await begin("a");
  const rest = (async () => {
    for (const name of ["b", "c", "d"]) await begin(name);
  })();
  await turn();
  expect(begun).toEqual(["a"]);
  open.get("a")!.resolve(true);
  await turn();
  expect(begun).toEqual(["a", "b", "c", "d"]);
  await rest;
  open.get("b")!.resolve(false);
  await turn();
  const late = begin("e");
  await turn();
  expect(begun).not.toContain("e");
  for (const name of ["c", "d"]) open.get(name)!.resolve(false);
  await late;
  open.get("e")!.resolve(true);
  await lanes.end();
});

test("eight at once, less where they are large, and one of any size alone", async () => {
  const { lanes, open, begun, begin, turn } = setUp();
  await begin("first");
  open.get("first")!.resolve(true);
  await turn();
  for (let at = 0; at < 8; at += 1) await begin(`small ${at}`);
  const ninth = begin("ninth");
  await turn();
  expect(begun).toHaveLength(9);
  open.get("small 0")!.resolve(true);
  await ninth;
  const large = begin("large", 2 ** 30);
  await turn();
  expect(begun).not.toContain("large");
  for (const [name, { resolve }] of open) if (name !== "large") resolve(true);
  await large;
  open.get("large")!.resolve(true);
  await lanes.end();
});

test("what one throws is thrown to whoever comes next, once", async () => {
  const { lanes, open, begin, turn } = setUp();
  await begin("a");
  open.get("a")!.reject(new Error("a disk that fails"));
  await turn();
  await expect(begin("b")).rejects.toThrow("a disk that fails");
  await begin("c");
  open.get("c")!.reject(new Error("again"));
  await expect(lanes.end()).rejects.toThrow("again");
  await lanes.end();
});
