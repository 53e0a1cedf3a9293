import { afterEach, beforeEach, expect, test } from "vitest";
import { type Digest, digestOf } from "../core/digest.ts";
import { silentLog } from "../core/log.ts";
import { Announcer, type AnnouncerLimits } from "./announcer.ts";
import type { ContentRouting } from "./content-routing.ts";
import { ManualClock, settle } from "./manual-clock.conformance.ts";

const LIMITS: AnnouncerLimits = { periodMs: 1_000, burst: 2, refreshMs: 60_000, copiesMax: 5 };

let clock: ManualClock;
let provided: Digest[];
let withdrawn: Digest[];
/** What lies on the disk, and what of it the catalog lists for this node. */
let here: Set<Digest>;
let recorded: Set<Digest>;
let announcer: Announcer;
let provide: () => Promise<void>;

const blob = (name: string): Digest => digestOf(new TextEncoder().encode(name));
const [A, B, C] = [blob("a"), blob("b"), blob("c")];

beforeEach(() => {
  clock = new ManualClock();
  [provided, withdrawn, here, recorded] = [[], [], new Set(), new Set()];
  provide = async () => {};
});
afterEach(() => announcer.stop());

function start(limits: Partial<AnnouncerLimits> = {}): void {
  const routing: ContentRouting = {
    async *find() {},
    provide: async (digest) => {
      provided.push(digest);
      await provide();
    },
    withdraw: async (digest) => void withdrawn.push(digest),
  };
  announcer = new Announcer({
    routing,
    blobs: {
      stat: async (digest) => (here.has(digest) ? { sizeBytes: 1 } : undefined),
      list: async (after, limit) =>
        [...here]
          .sort()
          .filter((digest) => digest > after)
          .slice(0, limit),
    },
    isUnrecorded: (digest) => !recorded.has(digest),
    clock,
    log: silentLog,
    limits: { ...LIMITS, ...limits },
  });
}

async function cached(...digests: Digest[]): Promise<void> {
  for (const digest of digests) {
    here.add(digest);
    announcer.used(digest);
  }
  await settle();
}

test("a cached copy is announced at once, and again before it is forgotten", async () => {
  start();
  await cached(A);
  expect(provided).toEqual([A]);
  await clock.advance(59_000);
  expect(provided).toEqual([A]);
  await clock.advance(1_000);
  expect(provided).toEqual([A, A]);
});

test("the budget holds: a burst, then one a period", async () => {
  start();
  const many = ["1", "2", "3", "4", "5"].map(blob);
  await cached(...many);
  expect(provided).toHaveLength(2);
  await clock.advance(1_000);
  expect(provided).toHaveLength(3);
  await clock.advance(2_000);
  expect(new Set(provided)).toEqual(new Set(many));
});

test("refreshes come out of the same budget", async () => {
  start({ refreshMs: 1_000 });
  await cached(...["1", "2", "3", "4", "5"].map(blob));
  await clock.advance(10_000);
  expect(provided).toHaveLength(2 + 10);
});

test("the most used go first, and among those the newest", async () => {
  start({ burst: 1 });
  await cached(blob("first"));
  await cached(A);
  await clock.advance(500);
  await cached(B, C, C);
  await clock.advance(3_000);
  expect(provided.slice(1)).toEqual([C, B, A]);
});

test("what is in the record is not announced, and no more once it has come there", async () => {
  start();
  recorded.add(A);
  await cached(A, B);
  expect(provided).toEqual([B]);
  recorded.add(B);
  await clock.advance(60_000);
  expect(provided).toEqual([B]);
  expect(withdrawn).toEqual([B]);
});

test("a copy that was dropped is announced no more", async () => {
  start();
  await cached(A);
  here.delete(A);
  await clock.advance(120_000);
  expect(provided).toEqual([A]);
  expect(withdrawn).toEqual([A]);
});

test("of more copies than may be announced the least used are left out", async () => {
  start({ burst: 10 });
  const many = ["1", "2", "3", "4", "5", "6", "7"].map(blob);
  await cached(...many);
  expect(provided).toHaveLength(5);
  await clock.advance(500);
  await cached(A, A, A);
  expect(provided.slice(5)).toEqual([A]);
  await clock.advance(59_000);
  expect(withdrawn).toHaveLength(1);
  expect(withdrawn).not.toContain(A);
  await clock.advance(10_000);
  expect(new Set(provided.slice(6))).toEqual(new Set([A, ...provided.slice(0, 5).filter((digest) => !withdrawn.includes(digest))]));
});

test("what an earlier run has cached is announced too", async () => {
  here.add(A).add(B);
  recorded.add(B);
  start();
  await clock.advance(1_000);
  expect(provided).toEqual([A]);
});

test("an announcement that fails, or that nobody answers, holds up no other", async () => {
  start();
  provide = () => Promise.reject(new Error("no peer answers"));
  await cached(A);
  provide = async () => {};
  await cached(B);
  await clock.advance(1_000);
  expect(provided).toEqual([A, B]);
});
