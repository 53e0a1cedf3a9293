import { expect, test } from "vitest";
import { ManualClock } from "./manual-clock.ts";
import { type Changes, NOT_HERE, WriteBehind } from "./write-behind.ts";

interface Write {
  readonly rows: Record<string, string | undefined>;
  readonly sync: boolean;
  readonly done: () => void;
  readonly fail: (error: Error) => void;
}

const text = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString());
const changes = (rows: Record<string, string | undefined>): Changes =>
  new Map(Object.entries(rows).map(([key, value]) => [key, value === undefined ? undefined : Buffer.from(value)]));

function said(behind: WriteBehind, key: string): string | undefined {
  const value = behind.get(key);
  return value === NOT_HERE ? "not here" : text(value);
}

function start(maxBytes = 1_000) {
  const clock = new ManualClock();
  const writes: Write[] = [];
  const write = (written: Changes, sync: boolean): Promise<void> =>
    new Promise((done, fail) => {
      writes.push({ rows: Object.fromEntries([...written].map(([key, value]) => [key, text(value)])), sync, done, fail });
    });
  return { clock, writes, behind: new WriteBehind({ clock, delayMs: 50, maxBytes, write }) };
}

/** Whether `promise` has been settled once all that is there to run has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let is = false;
  const mark = (): void => {
    is = true;
  };
  promise.then(mark, mark);
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  return is;
}

test("what is added within the delay is one write, each row as the newest left it, and reads see it before and meanwhile", async () => {
  const { clock, writes, behind } = start();
  behind.add(changes({ a: "1", b: "1" }));
  behind.add(changes({ a: "2", gone: undefined }));
  expect(said(behind, "a")).toBe("2");
  expect(behind.get("gone")).toBeUndefined();
  expect(behind.get("other")).toBe(NOT_HERE);
  clock.advance(50);
  expect(writes.map(({ rows, sync }) => [rows, sync])).toEqual([[{ a: "2", b: "1", gone: undefined }, false]]);
  behind.add(changes({ b: "3" }));
  expect([said(behind, "a"), said(behind, "b")]).toEqual(["2", "3"]);
  writes[0]?.done();
  await settled(behind.written());
  expect(behind.get("a")).toBe(NOT_HERE);
  expect(said(behind, "b")).toBe("3");
});

test("what is added while a write runs goes into the next, by itself", async () => {
  const { clock, writes, behind } = start();
  behind.add(changes({ a: "1" }));
  clock.advance(50);
  behind.add(changes({ a: "2" }));
  writes[0]?.done();
  await settled(Promise.resolve());
  clock.advance(50);
  expect(writes.map(({ rows }) => rows)).toEqual([{ a: "1" }, { a: "2" }]);
});

test("whoever waits for what is written waits for what was added before, and makes it be written at once", async () => {
  const { writes, behind } = start();
  expect(await settled(behind.written())).toBe(true);
  behind.add(changes({ a: "1" }));
  const first = behind.written();
  behind.add(changes({ a: "2" }));
  const second = behind.written();
  expect(await settled(first)).toBe(false);
  writes[0]?.done();
  expect(await settled(first)).toBe(true);
  expect(await settled(second)).toBe(false);
  writes[1]?.done();
  expect(await settled(second)).toBe(true);
  expect(writes.map(({ rows }) => rows)).toEqual([{ a: "1" }, { a: "2" }]);
});

test("from half of the limit on it is written at once, and beyond the limit nobody may add", async () => {
  const { writes, behind } = start(100);
  behind.add(changes({ a: "x".repeat(40) }));
  expect([writes.length, await settled(behind.room())]).toEqual([0, true]);
  behind.add(changes({ b: "x".repeat(40) }));
  expect(writes.length).toBe(1);
  behind.add(changes({ c: "x".repeat(120) }));
  const room = behind.room();
  expect(await settled(room)).toBe(false);
  writes[0]?.done();
  expect(await settled(room)).toBe(true);
  expect(writes.map(({ rows }) => Object.keys(rows))).toEqual([["a", "b"], ["c"]]);
});

test("a failed write is told to all that wait and come later, and nothing is written after it", async () => {
  const { clock, writes, behind } = start();
  behind.add(changes({ a: "1" }));
  const written = behind.written();
  written.catch(() => undefined);
  await settled(Promise.resolve());
  writes[0]?.fail(new Error("broken disk"));
  await expect(written).rejects.toThrow("broken disk");
  await expect(behind.room()).rejects.toThrow("broken disk");
  await expect(behind.flush(true)).rejects.toThrow("broken disk");
  behind.add(changes({ b: "1" }));
  clock.advance(1_000);
  expect(writes.length).toBe(1);
  expect(said(behind, "a")).toBe("1");
});
