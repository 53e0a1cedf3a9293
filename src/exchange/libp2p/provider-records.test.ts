import { beforeEach, expect, test } from "vitest";
import { ManualClock } from "../manual-clock.conformance.ts";
import { ProviderRecords } from "./provider-records.ts";

type Key = Parameters<ProviderRecords["get"]>[0];

let clock: ManualClock;
let records: ProviderRecords;
beforeEach(() => {
  clock = new ManualClock();
  records = new ProviderRecords(clock, 1_000, 4);
});

/** All that is asked of a key is its text. */
const key = (text: string): Key => ({ toString: () => text }) as Key;
const put = (text: string): Key => records.put(key(text), Uint8Array.of(text.length));

async function found(prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const pair of records.query({ prefix })) keys.push(pair.key.toString());
  return keys;
}

test("the providers of one blob are found, and not those of one whose name begins alike", async () => {
  for (const text of ["/dht/provider/a/1", "/dht/provider/a/2", "/dht/provider/ab/1"]) put(text);
  expect(await found("/dht/provider/a")).toEqual(["/dht/provider/a/1", "/dht/provider/a/2"]);
  expect(await found("/dht/provider")).toHaveLength(3);
  expect(await found("/dht/provider/b")).toEqual([]);
});

test("a record ends with its time, also for a question that names it, and one that is put again goes on", async () => {
  put("/p/a/1");
  put("/p/a/2");
  await clock.advance(600);
  put("/p/a/2");
  await clock.advance(400);
  expect(records.has(key("/p/a/1"))).toBe(false);
  expect(() => records.get(key("/p/a/1"))).toThrow(expect.objectContaining({ name: "NotFoundError" }));
  expect(records.get(key("/p/a/2"))).toEqual(Uint8Array.of(6));
  expect(await found("/p/a")).toEqual(["/p/a/2"]);
  expect(records.size).toBe(1); // what has expired went as it was seen
});

test("of more records than there is room for those of the blob told of longest ago go", async () => {
  for (const text of ["/p/a/1", "/p/b/1", "/p/a/2", "/p/c/1", "/p/c/2"]) put(text);
  expect(records.size).toBe(4);
  expect(await found("/p")).toEqual(["/p/a/1", "/p/a/2", "/p/c/1", "/p/c/2"]);
});

test("a record that is deleted is gone, and one that is not there is no error", async () => {
  put("/p/a/1");
  records.delete(key("/p/a/1"));
  records.delete(key("/p/a/1"));
  expect(records.size).toBe(0);
  expect(await found("/p/a")).toEqual([]);
});
