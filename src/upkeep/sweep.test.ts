import { afterEach, expect, test } from "vitest";
import { createMemoryBlobStore } from "../blobs/memory.ts";
import type { ConsensusStatus } from "../consensus/consensus.ts";
import { ManualClock } from "../consensus/manual-clock.ts";
import { MemoryConsensus } from "../consensus/memory.ts";
import type { Digest } from "../core/digest.ts";
import { silentLog } from "../core/log.ts";
import type { RepositoryName } from "../core/reference.ts";
import { factsOf, rootNamed } from "../metadata/scenario.ts";
import { type Sweeping, startSweeping } from "./sweep.ts";

const REPOSITORY = "team/app" as RepositoryName;
const NEVER = new AbortController().signal;

/** The memory consensus, whose batches are synced when the test says so. */
class HeldConsensus extends MemoryConsensus {
  held = false;
  readonly #listeners = new Set<(index: number) => void>();

  override status(): ConsensusStatus {
    return this.held ? { ...super.status(), syncedIndex: 0 } : super.status();
  }
  override onSynced(listener: (index: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  /** Resolves when a sweep waits for the state to be synced. */
  async waitedFor(): Promise<void> {
    while (this.#listeners.size === 0) await new Promise(setImmediate);
  }
  sync(): void {
    this.held = false;
    for (const listener of this.#listeners) listener(this.status().syncedIndex);
  }
}

let sweeping: Sweeping | undefined;
afterEach(() => sweeping?.stop());

async function bench(isFounded = true) {
  const consensus = new HeldConsensus();
  const found = () => consensus.propose({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1) });
  if (isFounded) await found();
  const blobs = createMemoryBlobStore();
  const clock = new ManualClock();
  return {
    consensus,
    blobs,
    clock,
    found,
    begin: (): Sweeping => (sweeping = startSweeping({ consensus, blobs, clock, log: silentLog })),
    commit: (digest: Digest) =>
      consensus.propose({
        type: "blob.commit",
        repository: REPOSITORY,
        digest,
        sizeBytes: 1,
        root: rootNamed("blob"),
        copies: [1],
        deadline: consensus.catalog.time(),
        commitId: "c",
      }),
    there: async (digest: Digest) => (await blobs.stat(digest)) !== undefined,
  };
}

test("at the start a file that no live record names goes; a copy and a cached copy of a live record stay", async () => {
  const { blobs, commit, begin, there } = await bench();
  const [copy, stray] = [Buffer.from("copy"), Buffer.from("stray")].map((bytes) => blobs.put(bytes)) as [Digest, Digest];
  await commit(copy);
  await begin().idle();
  expect([await there(copy), await there(stray)]).toEqual([true, false]);
});

test("every file of many is looked at, however many pages they fill", async () => {
  const { blobs, commit, begin } = await bench();
  const digests = Array.from({ length: 700 }, (_, at) => blobs.put(Buffer.from(`file ${at}`)));
  const kept = digests.filter((_, at) => at % 3 === 0);
  for (const digest of kept) await commit(digest);
  await begin().idle();
  expect(await blobs.list("", 1_000)).toEqual(kept.toSorted());
});

test("G1: nothing is swept by a node that is cut off or has no catalog yet: its state may not know of the records", async () => {
  const { consensus, blobs, clock, found, commit, begin, there } = await bench(false);
  const digest = blobs.put(Buffer.from("a copy"));
  const stray = blobs.put(Buffer.from("stray"));
  const sweeps = begin();
  await sweeps.idle();
  expect(await there(stray)).toBe(true);
  await found();
  consensus.cutOff = true;
  clock.advance(10_000);
  await sweeps.idle();
  expect(await there(stray)).toBe(true);
  consensus.cutOff = false;
  await commit(digest);
  clock.advance(10_000);
  await sweeps.idle();
  expect([await there(digest), await there(stray)]).toEqual([true, false]);
});

test("a pinned file stays, and is looked at again when its pin may have ended", async () => {
  const { blobs, clock, begin, there } = await bench();
  const digest = blobs.put(Buffer.from("pinned"));
  await blobs.pin(digest, "of-a-commit");
  const sweeps = begin();
  await sweeps.idle();
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
  await blobs.settle({ digest, commitId: "of-a-commit" }, false);
  clock.advance(10 * 60_000);
  await sweeps.idle();
  expect(await there(digest)).toBe(false);
});

test("a file whose record went with a snapshot goes when that is installed", async () => {
  const { consensus, blobs, commit, begin, there } = await bench();
  const digest = blobs.put(Buffer.from("evicted"));
  await commit(digest);
  const sweeps = begin();
  await sweeps.idle();
  expect(await there(digest)).toBe(true);
  await consensus.bySnapshot(async () => {
    await consensus.propose({ type: "blob.unlink", repository: REPOSITORY, digest });
    await consensus.propose({ type: "gc.condemn", digest });
  });
  await sweeps.idle();
  expect(await there(digest)).toBe(false);
});

test("G1: nothing goes before the state that does not name it is synced, nor where a record came in the meantime", async () => {
  const { consensus, blobs, commit, begin, there } = await bench();
  const [late, stray] = [Buffer.from("late"), Buffer.from("stray")].map((bytes) => blobs.put(bytes)) as [Digest, Digest];
  consensus.held = true;
  const sweeps = begin();
  await consensus.waitedFor();
  expect([await there(late), await there(stray)]).toEqual([true, true]);
  await commit(late);
  consensus.sync();
  await sweeps.idle();
  expect([await there(late), await there(stray)]).toEqual([true, false]);
});

test("a sweep that waits ends with the node", async () => {
  const { consensus, blobs, begin, there } = await bench();
  const stray = blobs.put(Buffer.from("stray"));
  consensus.held = true;
  const sweeps = begin();
  await consensus.waitedFor();
  sweeps.stop();
  await sweeps.idle();
  consensus.sync();
  expect(await there(stray)).toBe(true);
  for await (const chunk of blobs.open(stray, { start: 0, end: 5 }, NEVER)) expect(Buffer.from(chunk).toString()).toBe("stray");
});
