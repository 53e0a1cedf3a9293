import { beforeEach, expect, test } from "vitest";
import type { PeerId } from "../core/peer.ts";
import { seededRandom } from "../core/random.ts";
import { ManualClock } from "./manual-clock.conformance.ts";
import { type PeerPlace, PeerTable } from "./peer-table.ts";

const [A, B, C] = ["a", "b", "c"] as [PeerId, PeerId, PeerId];
const MIB = 1024 * 1024;
const SMALL = 1_000;
const PIECE = 4 * MIB;
const connected = (_peer: PeerId): boolean => true;

let clock: ManualClock;
let places: Map<PeerId, PeerPlace>;
let table: PeerTable;
beforeEach(() => {
  clock = new ManualClock();
  places = new Map();
  table = new PeerTable(clock, seededRandom(1), "east", (peer) => places.get(peer));
});

/** Which came first, in so many rankings: ties are broken by chance. */
function firsts(sizeBytes: number, peers: readonly PeerId[] = [A, B], isConnected = connected): ReadonlySet<PeerId> {
  return new Set(Array.from({ length: 50 }, () => table.rank(peers, isConnected, sizeBytes)[0]!));
}

test("among equals chance decides, so that not every node asks the same holder first", () => {
  expect(firsts(PIECE)).toEqual(new Set([A, B]));
});

test("a peer with a shorter round trip comes first", () => {
  table.sawRtt(A, 20);
  table.sawRtt(B, 5);
  expect(firsts(SMALL)).toEqual(new Set([B]));
});

test("for a small blob the round trip decides, for a large one the rate", () => {
  table.sawRtt(A, 10);
  table.sawRtt(B, 1);
  table.delivered(A, 10 + 4 * 5, PIECE);
  table.delivered(B, 1 + 4 * 20, PIECE);
  expect(firsts(SMALL)).toEqual(new Set([B]));
  expect(firsts(PIECE)).toEqual(new Set([A]));
});

test("a small blob teaches nothing of the rate", () => {
  table.delivered(A, 30, SMALL);
  expect(table.expectedMs([A], PIECE)).toBeUndefined();
  table.delivered(A, 40, PIECE);
  expect(table.expectedMs([A], PIECE)).toBeCloseTo(40);
});

test("a late measurement moves the estimate by a part of the difference", () => {
  table.sawRtt(A, 10);
  table.sawRtt(A, 110);
  expect(table.facts([A])[0]!.rttMs).toBeCloseTo(40);
});

test("among equals the peer of this node's zone comes first, and one of another zone where it is clearly faster", () => {
  places.set(A, { zone: "west", down: false });
  places.set(B, { zone: "east", down: false });
  expect(firsts(SMALL)).toEqual(new Set([B]));
  table.sawRtt(A, 10);
  table.sawRtt(B, 10);
  expect(firsts(PIECE)).toEqual(new Set([B]));
  for (let at = 0; at < 30; at += 1) table.sawRtt(B, 60);
  expect(firsts(SMALL)).toEqual(new Set([A]));
});

test("a peer that this node is loading already comes after an idle one", () => {
  table.began(A);
  expect(firsts(PIECE)).toEqual(new Set([B]));
  table.ended(A);
  expect(firsts(PIECE)).toEqual(new Set([A, B]));
});

test("a peer that said how busy it is with others comes after an idle one, for as long as that may hold", async () => {
  table.sawLoad(A, 3);
  expect(firsts(PIECE)).toEqual(new Set([B]));
  await clock.advance(3_000);
  expect(firsts(PIECE)).toEqual(new Set([A, B]));
});

test("one that must be dialled first comes after one that is connected", () => {
  expect(firsts(SMALL, [A, B], (peer) => peer === B)).toEqual(new Set([B]));
});

test("one that failed lately, and one that the members call down, come last and not never", async () => {
  places.set(C, { zone: "east", down: true });
  table.suspect(A);
  expect(table.rank([A, B, C], connected, SMALL)).toEqual([B, C, A]);
  await clock.advance(6_000);
  expect(firsts(SMALL, [A, B])).toEqual(new Set([A, B]));
});
