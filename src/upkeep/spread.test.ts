import { afterEach, expect, test } from "vitest";
import { holdReceives, NEVER, TestCluster } from "../../test/registry/cluster.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { type Digest, digestOf } from "../core/digest.ts";
import type { PieceHash } from "../core/pieces.ts";
import { candidates } from "./spread.ts";
import { targetCopies } from "./standing.ts";

const BYTES = Buffer.from("bytes");
const DIGEST = digestOf(BYTES);

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

/** Periods end when the test says so; the rest is the machine's. */
function heldPeriods(): { readonly clock: Clock; readonly tick: () => void } {
  const runs = new Set<() => void>();
  const every: Clock["every"] = (_periodMs, run) => {
    runs.add(run);
    return () => runs.delete(run);
  };
  return { clock: { ...systemClock, every }, tick: () => [...runs].forEach((run) => void run()) };
}

async function pinned(bytes: Uint8Array = BYTES): Promise<{
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly root: PieceHash;
  readonly commitId: string;
}> {
  const node = cluster!.node(1);
  const { commitId } = node.repair.newCommit(bytes.byteLength);
  node.blobs.put(bytes);
  const digest = digestOf(bytes);
  const { root } = (await node.blobs.pin(digest, commitId))!;
  return { digest, sizeBytes: bytes.byteLength, root, commitId };
}

test("candidates are those of the placement; members that are down come after them, draining ones last", async () => {
  cluster = await TestCluster.start({ nodes: 5 });
  const { catalog } = cluster.shared;
  const order = (): readonly number[] => candidates(catalog, DIGEST, new Set([1])).map(({ raftId }) => raftId);
  const [first, second, ...rest] = order();
  expect(order()).not.toContain(1);
  await cluster.apply({ type: "member.state", raftId: first!, draining: true });
  await cluster.apply({ type: "member.state", raftId: second!, down: true });
  expect(order()).toEqual([...rest, second, first]);
});

test("the target is `copies`, at most the members that do not drain, and never below need", async () => {
  cluster = await TestCluster.start({ nodes: 2, copies: 3, acks: 2 });
  const { catalog } = cluster.shared;
  expect(targetCopies(catalog, 9)).toBe(2);
  await cluster.join();
  await cluster.join();
  expect(targetCopies(catalog, 9)).toBe(3); // as the cluster's record says
  for (const node of cluster.nodes.slice(1)) await cluster.apply({ type: "member.state", raftId: node.raftId, draining: true });
  expect(targetCopies(catalog, 9)).toBe(2);
});

test("a target that hangs is hedged by the next member, so that `need` does not wait for it", async () => {
  const { clock, tick } = heldPeriods();
  cluster = await TestCluster.start({ nodes: 3, copies: 2, acks: 2, clock });
  const placed = candidates(cluster.shared.catalog, DIGEST, new Set([1])).map(({ raftId }) => raftId);
  const [slow, next] = placed.map((id) => cluster!.nodes.find((node) => node.raftId === id)!);
  const release = holdReceives(slow!);
  const { commitId, ...blob } = await pinned();
  const gathering = cluster.node(1).repair.gather(blob, { commitId, deadline: 1e12 }, NEVER);
  await new Promise(setImmediate);
  tick();
  const gathered = await gathering;
  expect(gathered.copies).toEqual([1, next!.raftId]);
  gathered.abandon();
  release();
});

for (const { size, sizeBytes, atOnce } of [
  { size: "large", sizeBytes: 4 * 1024 * 1024 + 1, atOnce: 1 },
  { size: "small", sizeBytes: 4 * 1024 * 1024, atOnce: 2 },
]) {
  test(`a ${size} blob of three copies, two of them waited for, is sent to ${atOnce} at once, and to all in the end`, async () => {
    cluster = await TestCluster.start({ nodes: 3, copies: 3, acks: 2 });
    let held = 0;
    const both = Promise.withResolvers<void>();
    const release = cluster.nodes.slice(1).map((node) => {
      const { receive } = node.blobs;
      node.blobs.receive = (...given) => {
        held += 1;
        if (held === 2) both.resolve();
        return receive.apply(node.blobs, given);
      };
      return holdReceives(node);
    });
    const { commitId, ...blob } = await pinned(Buffer.alloc(sizeBytes, 1));
    const gathering = cluster.node(1).repair.gather(blob, { commitId, deadline: 1e12 }, NEVER);
    await new Promise(setImmediate);
    expect(held).toBe(atOnce);
    for (const run of release) run();
    expect((await gathering).copies.length).toBeGreaterThanOrEqual(2);
    await both.promise;
    (await gathering).abandon();
  });
}
