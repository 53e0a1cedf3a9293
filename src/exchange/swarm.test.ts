import { beforeEach, expect, test } from "vitest";
import { collect, sampleBytes } from "../blobs/sample-bytes.ts";
import { digestOf } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import { hashPiece, PIECE_SIZE_BYTES, pieceRoot } from "../core/pieces.ts";
import { seededRandom } from "../core/random.ts";
import type { Wanted } from "./exchange.ts";
import { ManualClock, settle } from "./manual-clock.conformance.ts";
import { PeerTable } from "./peer-table.ts";
import { ScriptedLink } from "./scripted-link.conformance.ts";
import { Swarm, type SwarmLimits } from "./swarm.ts";
import { TestBlobs } from "./test-blobs.conformance.ts";

const never = new AbortController().signal;
const [A, B, C] = ["a", "b", "c"] as PeerId[];
const PIECES = 6;

let clock: ManualClock;
let link: ScriptedLink;
let blobs: TestBlobs;
let wanted: Wanted;
let bytes: Uint8Array;

beforeEach(() => {
  clock = new ManualClock();
  bytes = sampleBytes(PIECES * PIECE_SIZE_BYTES, 1);
  const pieces = Array.from({ length: PIECES }, (_, at) => hashPiece(bytes.subarray(at * PIECE_SIZE_BYTES, (at + 1) * PIECE_SIZE_BYTES)));
  link = new ScriptedLink(clock, bytes, pieces);
  blobs = new TestBlobs();
  wanted = { digest: digestOf(bytes), sizeBytes: bytes.byteLength, root: pieceRoot(pieces), holders: [A!, B!, C!] };
});

function swarm(limits: Partial<SwarmLimits> = {}): Swarm {
  return new Swarm({
    link,
    blobs,
    peers: new PeerTable(clock, seededRandom(1)),
    clock,
    log: silentLog,
    limits: { readAhead: 0, ...limits },
  });
}

/** The first byte of the blob, asked for and awaited. */
function firstByte(of: Swarm): Promise<Buffer> {
  const result = collect(of.fetch(wanted, { start: 0, end: 1 }, never));
  result.catch(() => {}); // awaited later, where it is
  return result;
}

test("a holder that says nothing for 500 ms is hedged by the next, and the client has its byte in less than a second", async () => {
  const reading = firstByte(swarm());
  await clock.advance(499);
  expect(link.asks).toHaveLength(1);
  link.delayMs.set(link.asks[0]!.peer, 1e9);
  for (const peer of wanted.holders) if (peer !== link.asks[0]!.peer) link.delayMs.set(peer, 20);
  await clock.advance(1);
  expect(link.asks).toHaveLength(2);
  expect(link.asks[1]!.peer).not.toBe(link.asks[0]!.peer);
  await clock.advance(20);
  expect((await reading).equals(bytes.subarray(0, 1))).toBe(true);
  expect(clock.monotonicMs()).toBeLessThan(1_000);
  expect(link.asks[0]!.aborted()).toBe(true);
});

test("a holder that sends some bytes and then hangs is hedged 500 ms after the last of them", async () => {
  wanted = { ...wanted, holders: [A!, B!] };
  for (const peer of wanted.holders) link.delayMs.set(peer, 400); // known: a piece that keeps coming has 1,600 ms
  const one = swarm();
  for (const each of [firstByte(one), firstByte(one)]) {
    await clock.advance(400);
    await each;
  }
  link.delayMs.clear();
  const before = link.asks.length;
  const reading = firstByte(one);
  await clock.advance(499);
  link.asks[before]!.progress(1);
  await clock.advance(499);
  expect(link.asks).toHaveLength(before + 1);
  await clock.advance(1);
  expect(link.asks).toHaveLength(before + 2);
  await link.asks.at(-1)!.answer();
  await reading;
});

test("two dead holders cost less than a second: the second hedge waits half as long", async () => {
  const reading = firstByte(swarm());
  await clock.advance(500);
  await clock.advance(250);
  expect(new Set(link.peers())).toEqual(new Set(wanted.holders));
  await link.asks[2]!.answer();
  await reading;
  expect(clock.monotonicMs()).toBeLessThan(1_000);
});

test("a holder that fails is replaced at once", async () => {
  const reading = firstByte(swarm());
  await settle();
  await link.asks[0]!.fail(new OciError("UNAVAILABLE", "gone"));
  expect(link.asks).toHaveLength(2);
  await link.asks[1]!.answer();
  await reading;
  expect(clock.monotonicMs()).toBe(0);
});

test("a holder that was hedged is asked last by the fetches after it", async () => {
  const one = swarm();
  const reading = firstByte(one);
  await clock.advance(500);
  await link.asks[1]!.answer();
  await reading;
  const slow = link.asks[0]!.peer;
  for (let at = 0; at < 6; at += 1) {
    const next = firstByte(one);
    await settle();
    expect(link.asks.at(-1)!.peer).not.toBe(slow);
    await link.asks.at(-1)!.answer();
    await next;
  }
});

test("a piece that keeps coming, within four times what it is expected to take, is not asked for twice", async () => {
  const one = swarm();
  for (let at = 0; at < 4; at += 1) {
    const reading = firstByte(one);
    await settle();
    const ask = link.asks.at(-1)!;
    for (let step = 0; step < 9; step += 1) {
      ask.progress(1);
      await clock.advance(45);
    }
    await ask.answer();
    await reading;
  }
  const asked = link.asks.length;
  const reading = firstByte(one);
  await settle();
  for (let step = 0; step < 30; step += 1) {
    link.asks.at(-1)!.progress(1);
    await clock.advance(45); // 1350 ms of the 1620 that four pieces take
  }
  expect(link.asks).toHaveLength(asked + 1);
  for (let step = 0; step < 30; step += 1) {
    link.asks[asked]!.progress(1);
    await clock.advance(45);
  }
  expect(link.asks.length).toBeGreaterThan(asked + 1);
  await link.asks.at(-1)!.answer();
  await reading;
});

test("where every holder is silent, the fetch ends as unavailable and not never", async () => {
  const reading = firstByte(swarm());
  await clock.advance(60_000);
  await expect(reading).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(clock.waiting).toBe(0);
});

test("the only holder may be slow: it is waited for as long as bytes come", async () => {
  wanted = { ...wanted, holders: [A!] };
  const reading = firstByte(swarm());
  for (let at = 0; at < 30; at += 1) {
    await clock.advance(5_000);
    link.asks[0]!.progress(1);
  }
  expect(link.asks).toHaveLength(1);
  await link.asks[0]!.answer();
  await reading;
});

test("several holders share the pieces of one blob", async () => {
  for (const peer of wanted.holders) link.delayMs.set(peer, 10);
  const reading = collect(swarm({ readAhead: 3 }).fetch(wanted, { start: 0, end: wanted.sizeBytes }, never));
  let done = false;
  void reading.finally(() => {
    done = true;
  });
  while (!done) await clock.advance(10);
  expect((await reading).equals(bytes)).toBe(true);
  expect(link.asks).toHaveLength(PIECES);
  expect(new Set(link.peers()).size).toBe(3);
});

test("read-ahead is limited over all readers, and none waits for another's share", async () => {
  const one = swarm({ readAhead: 3, readAheadTotal: 2 });
  const read = () => one.fetch(wanted, { start: 0, end: wanted.sizeBytes }, never)[Symbol.asyncIterator]();
  const first = read();
  const begun = first.next();
  await settle();
  expect(link.asks).toHaveLength(1); // the first piece has the line to itself
  await link.asks[0]!.answer();
  await begun;
  await first.next(); // and the first chunk is on its way before more is asked for
  expect(link.asks).toHaveLength(1 + 2);
  const controller = new AbortController(); // a reader of another blob: nothing is shared but the limit
  const other = collect(one.fetch({ ...wanted, sizeBytes: wanted.sizeBytes - 1 }, { start: 0, end: 9 }, controller.signal));
  await settle();
  expect(link.asks).toHaveLength(1 + 2 + 1);
  controller.abort();
  await expect(other).rejects.toMatchObject({ name: "AbortError" });
  await first.return?.(undefined);
  const again = read();
  const next = again.next();
  await settle();
  const asked = link.asks.length;
  await link.asks.at(-1)!.answer();
  await next;
  await again.next();
  expect(link.asks.length - asked).toBe(2); // the shares came back
  await again.return?.(undefined);
});

test("the list is asked for beside the first pieces, and no more once it is known", async () => {
  const one = swarm();
  const first = firstByte(one);
  await settle();
  expect(link.asks[0]!.list).toBe(true);
  await link.asks[0]!.answer();
  await first;
  const second = firstByte(one);
  await settle();
  expect(link.asks[1]!.list).toBe(false);
  await link.asks[1]!.answer();
  await second;
});

test("requests that nobody waits for any more are given up", async () => {
  const controller = new AbortController();
  const reader = swarm({ readAhead: 2 }).fetch(wanted, { start: 0, end: wanted.sizeBytes }, controller.signal)[Symbol.asyncIterator]();
  const first = reader.next();
  await settle();
  await link.asks[0]!.answer();
  await first;
  await reader.next();
  expect(link.asks).toHaveLength(3);
  controller.abort();
  await expect(reader.next()).rejects.toMatchObject({ name: "AbortError" });
  expect(link.asks.slice(1).every((ask) => ask.aborted())).toBe(true);
  expect(clock.waiting).toBe(0);
});

test("a cache that cannot be written costs the client nothing", async () => {
  for (const peer of wanted.holders) link.delayMs.set(peer, 0);
  blobs.cacheWriter = async () => ({
    write: () => Promise.reject(new OciError("INSUFFICIENT_STORAGE", "full")),
    read: async () => undefined,
    finish: async () => {},
    abandon: async () => {},
  });
  const reading = collect(swarm().fetch(wanted, { start: 0, end: wanted.sizeBytes }, never));
  let done = false;
  void reading.finally(() => {
    done = true;
  });
  while (!done) await clock.advance(1);
  expect((await reading).equals(bytes)).toBe(true);
});
