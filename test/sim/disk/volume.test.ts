import { expect, test } from "vitest";
import { seededRandom } from "../../../src/core/random.ts";
import { type Batch, Volume } from "./volume.ts";

const MARKER = Buffer.from("\x01\x11j000", "latin1");
const bytes = (text: string): Uint8Array => Buffer.from(text);
/** A batch as the log's are: a value, and the link that says that it was synced. */
const synced = (at: number): Batch => [
  { type: "put", key: `k${at}`, value: bytes(`value ${at}`) },
  { type: "put", key: `j${at.toString(16).padStart(16, "0")}`, value: bytes("link") },
];
const unsynced = (at: number): Batch => [{ type: "put", key: `u${at}`, value: bytes("unsynced") }];

function keysOf(found: ReturnType<Volume["recover"]>): string[] {
  if (!(found instanceof Map)) throw new Error(`an altered record at ${found.lostAt}`);
  return [...found.keys()].filter((key) => !key.startsWith("j")).sort();
}

test("a crash keeps all that was synced, and of the rest a beginning", () => {
  for (const keep of [0, 0.5, 1]) {
    const volume = new Volume();
    volume.append(unsynced(1), false);
    volume.append(synced(2), true);
    for (const at of [3, 4, 5]) volume.append(unsynced(at), false);
    volume.crash({ keep, torn: 0 }, { batch: unsynced(6), brokenOff: false });
    const rest = ["u3", "u4", "u5", "u6"].slice(0, 4 * keep);
    expect(keysOf(volume.recover(MARKER))).toEqual(["k2", "u1", ...rest]);
  }
});

test("a write that broke off is never there as a whole", () => {
  const volume = new Volume();
  volume.append(synced(1), true);
  volume.crash({ keep: 1, torn: 0.5 }, { batch: synced(2), brokenOff: true });
  expect(keysOf(volume.recover(MARKER))).toEqual(["k1"]);
});

test("a torn last record is passed over: nobody was told of it", () => {
  for (const torn of [0.01, 0.3, 0.99]) {
    const volume = new Volume();
    volume.append(synced(1), true);
    volume.append(synced(2), true);
    volume.crash({ keep: 0, torn }, { batch: synced(3), brokenOff: false });
    expect(keysOf(volume.recover(MARKER))).toEqual(["k1", "k2"]);
  }
});

test("an altered record that nobody looks for takes its block, and leaves what follows that", () => {
  const volume = new Volume();
  const long = (at: number): Batch => [{ type: "put", key: `k${at}`, value: new Uint8Array(400) }];
  for (const at of [1, 2, 3, 4]) volume.append(long(at), true);
  expect(volume.rot({ places: [0.4] })).toBe(true);
  expect(keysOf(volume.recover(undefined))).toEqual(["k1", "k4"]);
  expect(volume.gapped).toBe(true);
});

test("an altered record before a synced one is seen where it is looked for, and lost without a word where it is not", () => {
  const altered = (): Volume => {
    const volume = new Volume();
    for (const at of [1, 2, 3]) volume.append(synced(at), true);
    volume.crash({ keep: 0, torn: 0 }, undefined);
    expect(volume.rot({ places: [0.9] })).toBe(true);
    return volume;
  };
  expect(altered().recover(MARKER)).toMatchObject({ lostAt: expect.any(Number) });
  // LevelDB drops the rest of the block with it.
  expect(keysOf(altered().recover(undefined))).toEqual(["k1"]);
});

test("the very last synced record is never altered: that could not be told from a torn write", () => {
  const volume = new Volume();
  volume.append(synced(1), true);
  expect(volume.rot({ places: [0.5] })).toBe(false);
});

test("a full write buffer goes into tables, where a value can be altered", () => {
  const volume = new Volume();
  volume.append(synced(1), true);
  volume.flush(1);
  expect(volume.walLength).toBe(0);
  const before = new Map(volume.synced());
  expect(volume.rotTable(seededRandom(3))).toBe(true);
  const found = volume.recover(MARKER);
  const changed = found instanceof Map ? [...found].filter(([key, value]) => Buffer.compare(value, before.get(key)!) !== 0) : [];
  expect(changed).toHaveLength(1);
});

test("an open that lacks a batch before others says so, and one that lacks the end does not", () => {
  const large = (at: number): Batch => [{ type: "put", key: `k${at}`, value: new Uint8Array(20_000).fill(at) }];
  const altered = (place: number): Volume => {
    const volume = new Volume();
    for (const at of [1, 2, 3, 4, 5, 6]) volume.append(large(at), true);
    expect(volume.rot({ places: [place] })).toBe(true);
    return volume;
  };
  const middle = altered(0.3);
  expect(keysOf(middle.recover(undefined))).not.toEqual(["k1", "k2", "k3", "k4", "k5", "k6"]);
  expect(middle.gapped).toBe(true);
  const end = new Volume();
  for (const at of [1, 2]) end.append(large(at), true);
  end.crash({ keep: 0, torn: 0.5 }, { batch: large(3), brokenOff: false });
  end.recover(undefined);
  expect(end.gapped).toBe(false);
});
