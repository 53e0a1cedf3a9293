import { afterEach, expect, test } from "vitest";
import { pushBlob, TestCluster, type TestNode } from "../../test/registry/cluster.ts";
import { ManualClock } from "../consensus/manual-clock.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import { silentLog } from "../core/log.ts";
import type { RepositoryName } from "../core/reference.ts";
import { Scrub, type ScrubMemory, type ScrubPosition } from "./scrub.ts";

const REPOSITORY = "team/app" as RepositoryName;
const EVERY_MS = 100_000;
const MIB = 1024 * 1024;

let cluster: TestCluster | undefined;
let scrub: Scrub | undefined;
afterEach(async () => {
  scrub?.stop();
  await scrub?.idle();
  scrub = undefined;
  cluster?.stop();
});

/** What a process keeps on its disk. */
class KeptPosition implements ScrubMemory {
  position: ScrubPosition | undefined;
  load = async (): Promise<ScrubPosition | undefined> => this.position;
  save = async (position: ScrubPosition): Promise<void> => {
    this.position = position;
  };
}

async function bench(options: { readonly count?: number; readonly sizeBytes?: number; readonly maxRate?: number } = {}) {
  const { count = 12, sizeBytes = 50, maxRate = 2 ** 40 } = options;
  cluster = await TestCluster.start({ nodes: 3 });
  const node = cluster.node(1);
  const digests: Digest[] = [];
  for (let n = 0; n < count; n += 1) digests.push(await pushBlob(node, REPOSITORY, Buffer.alloc(sizeBytes, `blob ${n} `)));
  await cluster.idle();
  const clock = new ManualClock();
  const memory = new KeptPosition();
  const read: Digest[] = [];
  const { reread } = node.blobs;
  node.blobs.reread = (digest, ...rest) => {
    read.push(digest);
    return reread.call(node.blobs, digest, ...rest);
  };
  let swept = 0;
  const begin = (): Scrub => {
    const { blobs, consensus, raftId } = node;
    scrub = new Scrub({
      ...{ blobs, consensus, clock, memory, self: raftId, log: silentLog },
      everyMs: EVERY_MS,
      bytesPerSecondMax: maxRate,
      reportBad: (digest) => node.repair.reportBad(digest),
      sweep: () => {
        swept += 1;
      },
    });
    return scrub;
  };
  return { node, digests: digests.sort(), clock, memory, read, begin, swept: () => swept };
}

/** Until all that can go on without the clock has. */
async function turns(): Promise<void> {
  for (let at = 0; at < 300; at += 1) await new Promise(setImmediate);
  await cluster?.idle();
}

async function copyOf({ blobs }: TestNode, digest: Digest): Promise<Buffer | undefined> {
  const stat = await blobs.stat(digest);
  if (stat === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of blobs.open(digest, { start: 0, end: stat.sizeBytes }, new AbortController().signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("every blob here is read once, cached ones too, and again within scrubEvery; the sweep follows", async () => {
  const { node, digests, clock, read, begin, swept } = await bench();
  const cached = node.blobs.put(Buffer.from("a cached copy"));
  const all = [...digests, cached].sort();
  begin();
  await turns();
  expect(read).toEqual(all);
  expect(scrub?.status()).toMatchObject({ running: false, endedAtMs: clock.wallMs(), badCopies: 0 });
  expect(swept()).toBe(1);
  clock.advance(EVERY_MS * 0.9 - 1);
  await turns();
  expect(read).toHaveLength(all.length);
  clock.advance(1);
  await turns();
  expect(read).toEqual([...all, ...all]);
});

test("G6: a copy that is bad is quarantined, struck and healed from a peer; so is one that is gone; a bad cached copy just goes", async () => {
  const { node, digests, begin } = await bench();
  const [bad, gone] = digests as [Digest, Digest];
  node.blobs.damage(bad, 20);
  await node.blobs.quarantine(gone, "as if it had never been");
  const cached = node.blobs.put(Buffer.from("a cached copy"));
  node.blobs.damage(cached, 3);
  begin();
  await turns();
  expect(scrub?.status().badCopies).toBe(3);
  expect(cluster?.noted.map(({ target }) => target).sort()).toEqual([bad, gone].sort());
  for (const digest of [bad, gone]) {
    expect(cluster?.shared.catalog.blob(digest)?.copies).toHaveLength(3);
    expect(digestOf((await copyOf(node, digest)) ?? Buffer.alloc(0))).toBe(digest);
  }
  expect(await node.blobs.stat(cached)).toBeUndefined();
});

test("a copy whose piece root is not that of the record is bad, and one that the disk cannot read", async () => {
  const { node, digests, begin } = await bench();
  const [first, second, third] = digests as [Digest, Digest, Digest];
  const { reread } = node.blobs;
  let refuse = true;
  node.blobs.reread = async (digest, ...rest) => {
    if (digest === second && refuse) {
      refuse = false;
      throw Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
    }
    if (digest === third) throw Object.assign(new Error("too many open files"), { code: "EMFILE" }); // says nothing of the copy
    const facts = await reread.call(node.blobs, digest, ...rest);
    return digest === first ? { ...facts, root: "0".repeat(64) as typeof facts.root } : facts;
  };
  begin();
  await turns();
  expect(cluster?.noted.map(({ target }) => target).sort()).toEqual([first, second].sort());
  expect(scrub?.status()).toMatchObject({ running: true, badCopies: 2 });
});

test("a scrub goes on after a restart where it was, and waits for the next one where it had ended", async () => {
  const { clock, digests, memory, read, begin } = await bench();
  const middle = digests[5]!;
  memory.position = { beganAtMs: clock.wallMs(), after: middle, endedAtMs: undefined };
  begin();
  await turns();
  expect(read).toEqual(digests.filter((digest) => digest > middle));
  scrub?.stop();
  await scrub?.idle();
  read.length = 0;
  clock.advance(1_000);
  begin();
  await turns();
  expect(read).toEqual([]);
  clock.advance(EVERY_MS * 0.9 - 1_000);
  await turns();
  expect(read).toEqual(digests);
});

test("it reads no faster than its rate allows, nor than the time for the whole asks for", async () => {
  const slow = await bench({ count: 6, sizeBytes: MIB, maxRate: MIB / 2 });
  slow.begin();
  await turns();
  expect(slow.read).toHaveLength(1);
  slow.clock.advance(1_999);
  await turns();
  expect(slow.read).toHaveLength(1);
  slow.clock.advance(1);
  await turns();
  expect(slow.read).toHaveLength(2);
  expect(scrub?.status()).toMatchObject({ running: true, readBytes: 2 * MIB, isLate: false });
  scrub?.stop();
  await scrub?.idle();
  cluster?.stop();
  // 6 MiB in 100 s would be 76 KiB a second: it is done at the least rate instead
  const easy = await bench({ count: 6, sizeBytes: MIB });
  easy.begin();
  await turns();
  for (let second = 1; second <= 5; second += 1) {
    expect(easy.read).toHaveLength(second);
    easy.clock.advance(1_000);
    await turns();
  }
  expect(easy.read).toHaveLength(6);
});

test("it says so where its rate does not suffice to read all in time", async () => {
  const { begin } = await bench({ count: 3, sizeBytes: MIB, maxRate: 1_000 });
  expect(begin().status().isLate).toBe(true);
});
