import fc from "fast-check";
import { expect, test } from "vitest";
import type { RepositoryName } from "../core/reference.ts";
import { type AppliedEntry, ApplyBatch, applyEntry } from "./apply-entry.ts";
import { disagreements } from "./derived-rows.ts";
import { changesOf } from "./draft.ts";
import { decodeEntry, ENTRY_OVERHEAD_BYTES, encodeEnvelope, isAlone, stampEntry } from "./entry.ts";
import { MemoryStore } from "./memory-store.ts";
import { DRAWS, makeLog, type RandomLog, REPOSITORIES, SMALL_POLICY } from "./random-log.ts";
import type { CatalogTime } from "./records.ts";
import { LINK } from "./rows.ts";
import { SnapshotReader, SnapshotWriter } from "./snapshot.ts";
import { createCatalog } from "./store-catalog.ts";

const RUNS = { numRuns: process.env.ROADSTEAD_SLOW === "1" ? 80 : 25, seed: 7 };

function applyOne(store: MemoryStore, log: RandomLog, index: number): string {
  const applied = applyEntry(store, index, log.entries[index - 1] ?? new Uint8Array(), SMALL_POLICY);
  store.write(applied.changes);
  return JSON.stringify(applied.outcome);
}

function replay(log: RandomLog, from = new MemoryStore(), first = 1, last = log.entries.length): MemoryStore {
  for (let index = first; index <= last; index += 1) applyOne(from, log, index);
  return from;
}

/** Keys and values as text: two states are equal when these are. */
function dump(store: MemoryStore, without: RegExp = /^$/): string {
  return store
    .entries()
    .filter(([key]) => !without.test(key))
    .map(([key, value]) => `${key} ${Buffer.from(value).toString("hex")}`)
    .join("\n");
}

async function restored(store: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore();
  for await (const changes of new SnapshotReader().read(new SnapshotWriter(store).chunks())) copy.write(changes);
  return copy;
}

test("random logs accept every kind of command, so that nothing below passes because nothing happened", () => {
  const accepted = new Set<string>();
  fc.assert(
    fc.property(DRAWS, (draws) => {
      const log = makeLog(draws);
      for (const type of log.accepted) accepted.add(type);
    }),
    { ...RUNS, numRuns: 200 },
  );
  expect([...accepted].sort()).toEqual(
    [
      ...[
        "audit.note",
        "blob.adopt",
        "blob.commit",
        "blob.mount",
        "blob.remote",
        "blob.unlink",
        "cache.evict",
        "clock.tick",
        "cluster.init",
        "cluster.recover",
      ],
      ...[
        "copy.add",
        "copy.drop",
        "gc.condemn",
        "gc.deleted",
        "gc.hold",
        "gc.ran",
        "gc.reclaim",
        "gc.unlink",
        "lease.renew",
        "lease.renewLinks",
      ],
      ...[
        "manifest.delete",
        "manifest.purge",
        "manifest.put",
        "manifest.undelete",
        "member.add",
        "member.remove",
        "member.replace",
        "member.state",
      ],
      ...["project.set", "session.open", "tag.delete", "token.create"],
    ].sort(),
  );
});

test("counters and indexes agree with the records after every command of a random log", () => {
  fc.assert(
    fc.property(DRAWS, (draws) => {
      const log = makeLog(draws);
      const store = new MemoryStore();
      for (let index = 1; index <= log.entries.length; index += 1) {
        applyOne(store, log, index);
        if (index % 3 === 0) expect(disagreements(store)).toEqual([]);
      }
    }),
    RUNS,
  );
});

/** What the index of leases must answer, from a look at every link. */
function endingLeases(store: MemoryStore, repository: RepositoryName, before: CatalogTime): readonly string[] {
  const prefix = `link/${repository}\0`;
  return store
    .entries()
    .filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => ({ digest: key.slice(prefix.length), link: LINK.decode(value) }))
    .filter(({ link }) => link.present && !link.hidden && link.references + link.trashed === 0 && link.lease < before)
    .sort((a, b) => a.link.lease - b.link.lease || (a.digest < b.digest ? -1 : 1))
    .map(({ digest }) => digest);
}

test("G5: the index of leases names the unreferenced links of a repository as a look at every link does, at any time of a random log", async () => {
  let named = 0;
  await fc.assert(
    fc.asyncProperty(DRAWS, fc.integer({ min: 0, max: 8 }), async (draws, ahead) => {
      const log = makeLog(draws);
      const store = new MemoryStore();
      const catalog = createCatalog(store, { policy: SMALL_POLICY });
      for (let index = 1; index <= log.entries.length; index += 1) {
        const { changes } = applyEntry(store, index, log.entries[index - 1] ?? new Uint8Array(), SMALL_POLICY);
        store.write(changes);
        catalog.changed(changes.map(({ key }) => key));
        for (const repository of REPOSITORIES) {
          const expected = endingLeases(store, repository, catalog.time() + ahead);
          named += expected.length;
          expect(await catalog.leasesEnding(repository, catalog.time() + ahead, 2)).toEqual(expected.slice(0, 2));
        }
      }
    }),
    { numRuns: RUNS.numRuns >> 1, seed: 7 },
  );
  expect(named).toBeGreaterThan(0);
});

/** Some of the commands share an entry with those before them. */
function grouped(entries: readonly Uint8Array[], sizes: readonly number[]): Uint8Array[] {
  const together: Uint8Array[] = [];
  let group: Uint8Array[] = [];
  for (const [at, entry] of entries.entries()) {
    const envelope = entry.subarray(ENTRY_OVERHEAD_BYTES);
    if (group.length > 0 && (isAlone(envelope) || isAlone(group[0]!) || group.length > (sizes[at % sizes.length] ?? 0) % 5)) {
      together.push(stampEntry(at % 3, ...group));
      group = [];
    }
    group.push(envelope);
  }
  return [...together, stampEntry(0, ...group)];
}

test("G8, G9: two replicas have the same bytes, outcomes and seals, one entry a batch or many, with commands that share an entry or come again", () => {
  let again = 0;
  let shared = 0;
  fc.assert(
    fc.property(DRAWS, fc.integer({ min: 2, max: 40 }), fc.array(fc.nat(), { maxLength: 40 }), (draws, batchLength, repeats) => {
      const lone: Uint8Array[] = [];
      for (const [at, entry] of makeLog(draws).entries.entries()) {
        lone.push(entry);
        const repeat = at < 3 ? undefined : repeats[at % Math.max(1, repeats.length)];
        if (repeat !== undefined && repeat % 3 === 0) lone.push(lone[2 + (repeat % (lone.length - 2))] ?? entry);
      }
      const entries = grouped(lone, repeats);
      const [one, other] = [new MemoryStore(), new MemoryStore()];
      const said = ({ commands, seal }: AppliedEntry): string =>
        `${JSON.stringify(commands.map(({ outcome }) => outcome))} ${Buffer.from(seal).toString("hex")}`;
      for (let from = 0; from < entries.length; from += batchLength) {
        const batch = new ApplyBatch(other, SMALL_POLICY);
        for (const [at, data] of entries.slice(from, from + batchLength).entries()) {
          const alone = applyEntry(one, from + at + 1, data, SMALL_POLICY);
          one.write(alone.changes);
          again += alone.commands.filter(({ duplicate }) => duplicate).length;
          if (alone.commands.length > 1) shared += 1;
          expect(said(batch.apply(from + at + 1, data))).toBe(said(alone));
        }
        other.write(changesOf(batch.finish()));
        expect(dump(other)).toBe(dump(one));
      }
    }),
    RUNS,
  );
  expect(again).toBeGreaterThan(RUNS.numRuns);
  expect(shared).toBeGreaterThan(RUNS.numRuns);
});

test("a replica that was restored from a snapshot at any point goes on to the same bytes and outcomes", async () => {
  await fc.assert(
    fc.asyncProperty(DRAWS, fc.nat(), async (draws, draw) => {
      const log = makeLog(draws);
      const at = 1 + (draw % log.entries.length);
      const one = replay(log, new MemoryStore(), 1, at);
      const other = await restored(one);
      expect(dump(other)).toBe(dump(one));
      for (let index = at + 1; index <= log.entries.length; index += 1) expect(applyOne(other, log, index)).toBe(applyOne(one, log, index));
      expect(dump(other)).toBe(dump(one));
    }),
    RUNS,
  );
});

test("a replica that crashed at any batch, and lost what was not synced, comes to the same bytes by the same entries", () => {
  fc.assert(
    fc.property(DRAWS, fc.nat(), fc.nat(), (draws, crash, loss) => {
      const log = makeLog(draws);
      const crashAt = 1 + (crash % log.entries.length);
      const synced = loss % crashAt;
      const store = replay(log, new MemoryStore(), 1, synced);
      const survivor = store.copy();
      replay(log, store, synced + 1, crashAt);
      replay(log, survivor, synced + 1);
      expect(dump(survivor)).toBe(dump(replay(log, store, crashAt + 1)));
    }),
    RUNS,
  );
});

test("G8: commands that come again in a random log change nothing, and are answered as the first time", () => {
  const idle = stampEntry(0, encodeEnvelope({ v: 1, session: 0, sequence: 0, lowest: 0, command: { type: "clock.tick" } }));
  fc.assert(
    fc.property(DRAWS, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 4 })), { minLength: 1, maxLength: 30 }), (draws, repeats) => {
      const log = makeLog(draws);
      const retried = new Map(repeats.map(([at, back]) => [3 + (at % (log.entries.length - 3)), back]));
      const [once, twice] = [new MemoryStore(), new MemoryStore()];
      const outcomes = new Map<number, string>();
      let index = 0;
      for (const [at, data] of log.entries.entries()) {
        index += 1;
        const first = applyEntry(twice, index, data, SMALL_POLICY);
        twice.write(first.changes);
        once.write(applyEntry(once, index, data, SMALL_POLICY).changes);
        outcomes.set(at, JSON.stringify(first.outcome));
        const back = retried.get(at);
        if (back === undefined || at - back < 3) continue;
        index += 1;
        // stamped anew by the leader that appended it again
        const again = stampEntry(0, encodeEnvelope(decodeEntry(log.entries[at - back] ?? data).envelopes[0] as never));
        const answer = applyEntry(twice, index, again, SMALL_POLICY);
        twice.write(answer.changes);
        once.write(applyEntry(once, index, idle, SMALL_POLICY).changes);
        expect(answer.duplicate).toBe(true);
        expect(JSON.stringify(answer.outcome)).toBe(outcomes.get(at - back));
      }
      expect(dump(twice, /^(?:chain|session)\//)).toBe(dump(once, /^(?:chain|session)\//));
    }),
    RUNS,
  );
});
