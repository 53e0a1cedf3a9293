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
const [A, B, C, D] = ["a", "b", "c", "d"] as PeerId[];
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
  [cachedAt, cachedHere, searches] = [[], [], []];
  wanted = { digest: digestOf(bytes), sizeBytes: bytes.byteLength, root: pieceRoot(pieces), holders: [A!, B!, C!] };
});

/** Cached copies that a search finds, when the test lets it go on. */
let cachedAt: PeerId[];
/** What has been cached by the node of the test. */
let cachedHere: string[];
let searches: { readonly digest: string; end(): Promise<void> }[];

function swarm(limits: Partial<SwarmLimits> = {}): Swarm {
  return new Swarm({
    link,
    routing: {
      async *find(digest) {
        yield* cachedAt;
        const { promise, resolve } = Promise.withResolvers<void>();
        const end = (): Promise<void> => {
          resolve();
          return settle();
        };
        searches.push({ digest, end });
        await promise;
      },
    },
    onCached: (digest) => cachedHere.push(digest),
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

test("cached copies are not looked for while a holder answers", async () => {
  cachedAt = [D!];
  const reading = firstByte(swarm());
  await clock.advance(499);
  await link.asks[0]!.answer();
  await reading;
  expect(searches).toEqual([]);
});

test("where no holder is connected, cached copies are looked for at once", async () => {
  link.connected = false;
  const reading = firstByte(swarm());
  await settle();
  expect(searches).toHaveLength(1);
  await link.asks[0]!.answer();
  await reading;
});

test("where the only holder is late, a cached copy is found and asked at the first hedge", async () => {
  wanted = { ...wanted, holders: [A!] };
  cachedAt = [D!];
  const reading = firstByte(swarm());
  await clock.advance(499);
  expect(link.peers()).toEqual([A]);
  await clock.advance(1);
  expect(link.peers()).toEqual([A, D]);
  await link.asks[1]!.answer();
  await reading;
  expect(clock.monotonicMs()).toBe(500);
});

test("where every holder fails, the bytes come from a cached copy, and later pieces from there too", async () => {
  wanted = { ...wanted, holders: [A!] };
  cachedAt = [D!];
  link.dead.add(A!);
  link.delayMs.set(D!, 1);
  const reading = collect(swarm().fetch(wanted, { start: 0, end: 2 * PIECE_SIZE_BYTES }, never));
  let done = false;
  void reading.finally(() => {
    done = true;
  });
  while (!done) await clock.advance(1);
  expect((await reading).equals(bytes.subarray(0, 2 * PIECE_SIZE_BYTES))).toBe(true);
  expect(searches).toHaveLength(1);
});

test("a cached copy that is gone is passed over, and the fetch ends once the search has", async () => {
  wanted = { ...wanted, holders: [A!] };
  cachedAt = [D!];
  const reading = firstByte(swarm());
  await clock.advance(500);
  await link.asks[1]!.fail(new OciError("BLOB_UNKNOWN", "dropped"));
  for (let at = 0; at < 2; at += 1) await link.asks.findLast((ask) => ask.peer === A)!.fail(new OciError("UNAVAILABLE", "gone"));
  let isOver = false;
  void reading.catch(() => {
    isOver = true;
  });
  await settle();
  expect(isOver).toBe(false); // more may be found yet
  await searches[0]!.end();
  await expect(reading).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("a whole blob that was fetched is told as a cached copy, a range is not", async () => {
  for (const peer of wanted.holders) link.delayMs.set(peer, 0);
  const one = swarm();
  for (const end of [1, wanted.sizeBytes]) {
    expect(cachedHere).toEqual([]);
    const reading = collect(one.fetch(wanted, { start: 0, end }, never));
    let done = false;
    void reading.finally(() => {
      done = true;
    });
    while (!done) await clock.advance(1);
  }
  await one.settled();
  expect(cachedHere).toEqual([wanted.digest]);
});
