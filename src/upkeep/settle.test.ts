import { expect, test } from "vitest";
import { createMemoryBlobStore, type MemoryBlobStore } from "../blobs/memory.ts";
import type { Applied, Consensus, ConsensusStatus } from "../consensus/consensus.ts";
import { MemoryConsensus } from "../consensus/memory.ts";
import type { Clock } from "../core/clock.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import { silentLog } from "../core/log.ts";
import { seededRandom } from "../core/random.ts";
import type { RepositoryName } from "../core/reference.ts";
import type { Command } from "../metadata/commands.ts";
import { factsOf } from "../metadata/scenario.ts";
import { type Commit, deadlineOf, newCommit } from "./commit-id.ts";
import { type Settling, startSettling } from "./settle.ts";

const REPOSITORY = "team/app" as RepositoryName;
const BYTES = Buffer.from("bytes");
const RANDOM = seededRandom(1);
const SELF = 1;

/** The memory consensus, whose batches are synced when the test says so. */
class HeldConsensus implements Consensus {
  readonly shared = new MemoryConsensus();
  readonly self = SELF;
  readonly #listeners = new Set<(index: number) => void>();
  #synced = 0;

  get catalog(): MemoryConsensus["catalog"] {
    return this.shared.catalog;
  }
  propose: Consensus["propose"] = (command, options) => this.shared.propose(command, options);
  barrier: Consensus["barrier"] = (signal) => this.shared.barrier(signal);
  status(): ConsensusStatus {
    return { ...this.shared.status(), syncedIndex: this.#synced };
  }
  onApplied(listener: (applied: Applied) => void): () => void {
    return this.shared.onApplied(listener);
  }
  onSynced(listener: (index: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  onInstalled(listener: (index: number) => void): () => void {
    return this.shared.onInstalled(listener);
  }
  sync(index = this.shared.status().appliedIndex): void {
    this.#synced = index;
    for (const listener of this.#listeners) listener(index);
  }
}

/** No time passes but what the test says. */
const STILL: Clock = { wallMs: () => 0, monotonicMs: () => 0, after: () => () => undefined, every: () => () => undefined };

interface Bench {
  readonly consensus: HeldConsensus;
  readonly blobs: MemoryBlobStore;
  readonly settling: Settling;
  readonly digest: Digest;
  pin(commit: Commit, digest?: Digest): Promise<void>;
  commit(commit: Commit, copies: readonly number[], more?: Partial<Extract<Command, { type: "blob.commit" }>>): Promise<string | undefined>;
  add(commit: Commit, copy: number): Promise<string | undefined>;
  pass(ms: number): Promise<void>;
  synced(): Promise<void>;
}

/** A cluster of three with node 1 under test, which acknowledges with one copy. */
async function bench(): Promise<Bench> {
  const consensus = new HeldConsensus();
  const run = async (command: Command): Promise<string | undefined> => (await consensus.propose(command)).refused;
  await run({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1), durability: { copies: 3, acks: 1 } });
  await run({ type: "token.create", id: "t", hash: new Uint8Array(32), uses: 9, ttlMs: 1e12 });
  for (const n of [2, 3]) await run({ type: "member.add", member: factsOf(n), token: { id: "t", hash: new Uint8Array(32) } });
  const blobs = createMemoryBlobStore();
  const settling = startSettling({ consensus, blobs, self: SELF, clock: STILL, log: silentLog, unknownDeadlineMs: 60_000 });
  const digest = digestOf(BYTES);
  const settle = async (): Promise<void> => {
    await settling.idle();
  };
  return {
    consensus,
    blobs,
    settling,
    digest,
    pin: async ({ commitId }) => {
      const expected = { digest, sizeBytes: BYTES.byteLength, root: undefined };
      if ((await blobs.pin(digest, commitId)) !== undefined) return;
      const source = (async function* () {
        yield BYTES;
      })();
      await blobs.receive(expected, commitId, source, new AbortController().signal);
    },
    commit: async ({ commitId, deadline }, copies, more) => {
      const { root } = (await blobs.pin(digest, commitId))!;
      return run({
        type: "blob.commit",
        repository: REPOSITORY,
        digest,
        sizeBytes: BYTES.byteLength,
        root,
        copies,
        deadline,
        commitId,
        ...more,
      });
    },
    add: ({ commitId, deadline }, copy) => run({ type: "copy.add", digest, copy, deadline, commitId }),
    pass: async (ms) => {
      for (let left = ms; left > 0; left -= 10_000) {
        consensus.shared.stampMs = Math.min(left, 10_000);
        await run({ type: "clock.tick" });
      }
    },
    synced: async () => {
      consensus.sync();
      await settle();
    },
  };
}

const other = (consensus: Consensus): number => consensus.catalog.members().find(({ raftId }) => raftId !== SELF)!.raftId;

test("a commit id carries its deadline, which grows with the blob", () => {
  const small = newCommit(5_000, 0, RANDOM);
  const large = newCommit(5_000, 2 ** 40, RANDOM);
  expect(deadlineOf(small.commitId)).toBe(small.deadline);
  expect(deadlineOf(large.commitId)).toBe(large.deadline);
  expect(large.deadline).toBeGreaterThan(small.deadline + 3_600_000);
  expect(small.commitId).toMatch(/^[0-9a-z-]{1,60}$/);
  for (const odd of ["", "c", "x-y", `${"z".repeat(12)}-${"0".repeat(32)}`]) expect(deadlineOf(odd)).toBeUndefined();
});

test("a pin ends by its own commit, and not before the batch that decided it is synced", async () => {
  const { consensus, blobs, settling, digest, ...node } = await bench();
  const commit = newCommit(0, 5, RANDOM);
  await node.pin(commit);
  await node.commit(commit, [SELF]);
  consensus.sync(consensus.status().appliedIndex - 1);
  await settling.idle();
  expect(await blobs.stat(digest)).toMatchObject({ settled: false });
  await node.synced();
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
  expect(blobs.pins()).toEqual([]);
});

test("a refused commit ends its pin, and the bytes go with it", async () => {
  const { blobs, digest, ...node } = await bench();
  const commit = newCommit(0, 5, RANDOM);
  await node.pin(commit);
  expect(await node.commit(commit, [SELF], { deadline: -1 })).toBe("deadline");
  await node.synced();
  expect(await blobs.stat(digest)).toBeUndefined();
});

test("another commit of the same blob does not end a pin, even where the record lists this node already", async () => {
  const { consensus, blobs, digest, ...node } = await bench();
  const [first, second] = [newCommit(0, 5, RANDOM), newCommit(0, 5, RANDOM)];
  await node.pin(first);
  await node.pin(second);
  await node.commit(first, [SELF]);
  await node.synced();
  expect(blobs.pins()).toEqual([{ digest, commitId: second.commitId }]);
  await consensus.propose({ type: "copy.drop", digest, copy: SELF, bad: true });
  await node.synced();
  expect(await blobs.stat(digest)).toMatchObject({ settled: false }); // dropped, and still held by the pin
  await node.add(second, SELF);
  await node.synced();
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
});

test("a commit that does not name this node leaves its pin to the copy.add that may follow, or to the deadline", async () => {
  const { consensus, blobs, settling, digest, ...node } = await bench();
  const commit = newCommit(0, 5, RANDOM);
  await node.pin(commit);
  await node.commit(commit, [other(consensus)]);
  await node.synced();
  expect(blobs.pins()).toHaveLength(1);
  await node.add(commit, other(consensus));
  await node.synced();
  expect(blobs.pins()).toHaveLength(1);
  await node.add(commit, SELF);
  await node.synced();
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
  const late = newCommit(consensus.catalog.time(), 5, RANDOM);
  await node.pin(late);
  await node.pass(60_000);
  settling.look();
  await node.synced();
  expect(blobs.pins()).toHaveLength(1);
  await node.pass(15 * 60_000);
  settling.look();
  await settling.idle();
  expect(blobs.pins()).toHaveLength(1); // the time that has passed is not synced yet
  await node.synced();
  expect(blobs.pins()).toEqual([]);
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
});

test("a pin past its deadline that no record names goes with its bytes; one whose id says no deadline gets a bound", async () => {
  const { consensus, blobs, settling, digest, ...node } = await bench();
  await node.pin(newCommit(0, 5, RANDOM));
  await node.pin({ commitId: "of-another-version", deadline: 0 });
  settling.look();
  await node.pass(61_000);
  settling.look();
  await node.synced();
  expect(blobs.pins()).toHaveLength(1);
  await node.pass(10 * 60_000);
  settling.look();
  await node.synced();
  expect(await blobs.stat(digest)).toBeUndefined();
  expect(consensus.catalog.blob(digest)).toBeUndefined();
});

test("pins of an earlier run stand at the start until their deadline", async () => {
  const { consensus, blobs, settling, digest, ...node } = await bench();
  const commit = newCommit(0, 5, RANDOM);
  settling.stop();
  await node.pin(commit);
  await node.commit(commit, [SELF]); // applied before the restart: nobody heard it
  const again = startSettling({ consensus, blobs, self: SELF, clock: STILL, log: silentLog });
  consensus.sync();
  await again.idle();
  expect(blobs.pins()).toHaveLength(1);
  await node.pass(11 * 60_000);
  again.look();
  consensus.sync();
  await again.idle();
  expect(blobs.pins()).toEqual([]);
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
});

test("G1: a pin whose commit came by a snapshot ends with its deadline, as soon as the snapshot says that this has passed", async () => {
  const { consensus, blobs, settling, digest, ...node } = await bench();
  const commit = newCommit(0, 5, RANDOM);
  await node.pin(commit);
  await consensus.shared.bySnapshot(() => node.commit(commit, [SELF]).then(() => undefined));
  await node.synced();
  expect(blobs.pins()).toHaveLength(1);
  await consensus.shared.bySnapshot(() => node.pass(11 * 60_000));
  await node.synced();
  expect(blobs.pins()).toEqual([]);
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
});

test("a copy that was dropped from the record is unlinked once that is synced, unless it was added again", async () => {
  const { consensus, blobs, settling, digest, ...node } = await bench();
  const commit = newCommit(0, 5, RANDOM);
  await node.pin(commit);
  await node.commit(commit, [SELF, other(consensus)]);
  await node.synced();
  const drop = () => consensus.propose({ type: "copy.drop", digest, copy: SELF, bad: true });
  await drop();
  const again = newCommit(consensus.catalog.time(), 5, RANDOM);
  await node.pin(again);
  await node.add(again, SELF);
  // the lock of the digest is given to the drop last
  const { drop: unlink, settle } = blobs;
  const settled = Promise.withResolvers<void>();
  blobs.settle = (...args) => settle.apply(blobs, args).finally(settled.resolve);
  blobs.drop = async (...args) => {
    await settled.promise;
    return unlink.apply(blobs, args);
  };
  await node.synced();
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
  await drop();
  await settling.idle();
  expect(await blobs.stat(digest)).toMatchObject({ settled: true });
  await node.synced();
  expect(await blobs.stat(digest)).toBeUndefined();
});

test("a pin that was listed when its commit applied, and struck before that was synced, waits for the later state", async () => {
  const { consensus, blobs, settling, digest, ...node } = await bench();
  const commit = newCommit(0, 5, RANDOM);
  await node.pin(commit);
  await node.commit(commit, [SELF, other(consensus)]);
  const committed = consensus.status().appliedIndex;
  await consensus.propose({ type: "copy.drop", digest, copy: SELF, bad: true });
  consensus.sync(committed);
  await settling.idle();
  expect(blobs.pins()).toHaveLength(1);
  await node.synced();
  expect(await blobs.stat(digest)).toBeUndefined();
});
