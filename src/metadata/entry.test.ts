import fc from "fast-check";
import { expect, test } from "vitest";
import type { RepositoryName } from "../core/reference.ts";
import { applyEntry } from "./apply-entry.ts";
import type { Command } from "./commands.ts";
import { COMMANDS_IN_ENTRY_MAX, decodeEntry, ENTRY_BYTES_MAX, type Envelope, encodeEnvelope, STAMP_MS_MAX, stampEntry } from "./entry.ts";
import { HaltError } from "./halt-error.ts";
import { MemoryStore } from "./memory-store.ts";
import { DRAWS, makeLog, SMALL_POLICY } from "./random-log.ts";
import { digestNamed, rawEnvelope } from "./scenario.ts";

const TICK: Envelope = { v: 1, session: 7, sequence: 3, lowest: 2, command: { type: "clock.tick" } };

test("an envelope and its stamp come back as they were, from a slice of a larger buffer too", () => {
  const envelope: Envelope = { ...TICK, principal: "user ü" };
  const data = stampEntry(1_234, encodeEnvelope(envelope));
  const inside = Buffer.concat([Buffer.alloc(5, 0xff), data]).subarray(5);
  for (const bytes of [data, inside]) expect(decodeEntry(bytes)).toEqual({ stampMs: 1_234, envelopes: [envelope] });
});

test("envelopes of one entry come back in their order; where one is torn, or there are too many, nothing is made of the rest", () => {
  const envelopes = [3, 4, 5].map((sequence): Envelope => ({ ...TICK, sequence }));
  const data = stampEntry(9, ...envelopes.map(encodeEnvelope));
  expect(decodeEntry(data)).toEqual({ stampMs: 9, envelopes });
  for (const cut of [1, 3, encodeEnvelope(TICK).byteLength + 2]) {
    const torn = decodeEntry(data.subarray(0, data.byteLength - cut));
    expect(torn).toEqual({ stampMs: 9, envelopes: [envelopes[0], envelopes[1], undefined] });
  }
  expect(decodeEntry(stampEntry(9)).envelopes).toEqual([undefined]);
  const many = decodeEntry(stampEntry(0, ...Array.from({ length: COMMANDS_IN_ENTRY_MAX + 5 }, () => encodeEnvelope(TICK)))).envelopes;
  expect([many.length, many.indexOf(undefined)]).toEqual([COMMANDS_IN_ENTRY_MAX + 1, COMMANDS_IN_ENTRY_MAX]);
});

test("a stamp is a whole number of ms between 0 and 10,000, whatever the clock did", () => {
  const stamp = (ms: number): number => decodeEntry(stampEntry(ms, encodeEnvelope(TICK))).stampMs;
  expect([-1, 0.9, 17.5, 1e12, Number.NaN, Number.POSITIVE_INFINITY].map(stamp)).toEqual([0, 0, 17, STAMP_MS_MAX, 0, 0]);
});

test("a command that would not fit an entry is told to its proposer, and never reaches the log", () => {
  const bytes = new Uint8Array(ENTRY_BYTES_MAX);
  const repository = "a" as RepositoryName;
  const command: Command = { type: "manifest.put", repository, digest: digestNamed("m"), mediaType: "x", bytes, tags: [], references: [] };
  expect(() => encodeEnvelope({ ...TICK, command })).toThrow(RangeError);
});

test("names that do not parse are refused before any guard sees them", () => {
  const malformed: object[] = [
    { type: "blob.unlink", repository: "UPPER", digest: digestNamed("x") },
    { type: "blob.unlink", repository: "a\0b", digest: digestNamed("x") },
    { type: "blob.unlink", repository: "a", digest: "sha256:short" },
    { type: "tag.delete", repository: "a", tag: "no/tag" },
    { type: "copy.drop", digest: digestNamed("x"), copy: 1.5, bad: false },
    { type: "copy.drop", digest: digestNamed("x"), copy: 1 },
    { type: "token.revoke", id: "a/b" },
    { type: "manifest.put", repository: "a", digest: digestNamed("x"), mediaType: "x", bytes: "text", tags: [], references: [] },
  ];
  for (const command of malformed) {
    expect(decodeEntry(stampEntry(0, rawEnvelope({ ...TICK, command }))).envelopes, JSON.stringify(command)).toEqual([undefined]);
  }
});

test("fields that this program does not know are passed over", () => {
  const data = stampEntry(0, rawEnvelope({ ...TICK, later: 1, command: { type: "clock.tick", later: [1] } }));
  expect(decodeEntry(data).envelopes[0]?.command.type).toBe("clock.tick");
});

test("no altered or random bytes make applyEntry throw anything but HaltError, and it answers them alike each time", () => {
  const alterations = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  const attempt = (store: MemoryStore, index: number, data: Uint8Array): string => {
    try {
      return JSON.stringify(applyEntry(store, index, data, SMALL_POLICY).outcome);
    } catch (error) {
      if (error instanceof HaltError) return error.message;
      throw error;
    }
  };
  fc.assert(
    fc.property(DRAWS, alterations, fc.uint8Array({ maxLength: 60 }), (draws, changes, random) => {
      const { entries } = makeLog(draws.slice(0, 30));
      const store = new MemoryStore();
      for (const [at, entry] of entries.entries()) {
        const altered = Uint8Array.from(entry);
        for (const [where, bits] of changes) altered[where % altered.length] = (altered[where % altered.length] ?? 0) ^ bits;
        for (const data of [altered, entry.subarray(0, changes.length * 9), random]) {
          expect(attempt(store, at + 1, data)).toBe(attempt(store, at + 1, data));
        }
        store.write(applyEntry(store, at + 1, entry, SMALL_POLICY).changes);
      }
    }),
    { numRuns: 60, seed: 3 },
  );
});
