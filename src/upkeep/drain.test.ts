import { afterEach, expect, test } from "vitest";
import {
  ANYONE,
  body,
  collect,
  NEVER,
  pushBlob,
  TestCluster,
  type TestClusterOptions,
  type TestNode,
} from "../../test/registry/cluster.ts";
import type { Digest } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";

const REPOSITORY = "team/app" as RepositoryName;

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function filled(options: TestClusterOptions, count = 30): Promise<{ nodes: TestNode[]; digests: Digest[]; cluster: TestCluster }> {
  cluster = await TestCluster.start(options);
  const { nodes } = cluster;
  const digests: Digest[] = [];
  for (let n = 0; n < count; n += 1) digests.push(await pushBlob(nodes[n % nodes.length]!, REPOSITORY, Buffer.from(`blob ${n}`)));
  await passes();
  return { nodes, digests, cluster };
}

/** Until nothing is left to do: a pass wakes others. */
async function passes(): Promise<void> {
  for (let round = 0; round < 8; round += 1) {
    for (const { repair } of cluster?.nodes ?? []) repair.wake();
    await cluster?.idle();
  }
}

function holders(digest: Digest): readonly number[] {
  const { catalog } = cluster!.shared;
  return catalog.holders(catalog.blob(digest)!).map(({ raftId }) => raftId);
}

function setDraining(node: TestNode, draining: boolean, keepCount = true): Promise<string | undefined> {
  const command = { type: "member.state", raftId: node.raftId, draining, ...(keepCount ? { keepCount } : {}) } as const;
  return cluster!.shared.propose(command).then(({ refused }) => refused);
}

test("G1: a drain moves every copy to members that stay before it gives its own up, and never leaves fewer than there are to be", async () => {
  const { nodes, digests, cluster } = await filled({ nodes: 4, copies: 3, acks: 2 });
  const leaving = nodes[0]!;
  const before = await cluster.shared.catalog.heldBy(leaving.raftId, "", 1_000);
  expect(before.length).toBeGreaterThan(5);
  let fewest = Number.POSITIVE_INFINITY;
  cluster.shared.onApplied(({ command }) => {
    if (command.type === "copy.drop") fewest = Math.min(fewest, holders(command.digest).length);
  });
  expect(await setDraining(leaving, true)).toBeUndefined();
  await passes();
  expect(fewest).toBe(3);
  expect(await cluster.shared.catalog.heldBy(leaving.raftId, "", 9)).toEqual([]);
  for (const digest of digests) {
    expect(holders(digest)).toHaveLength(3);
    expect(holders(digest)).not.toContain(leaving.raftId);
    expect(await leaving.blobs.stat(digest)).toBeUndefined();
  }
});

test("a push through a node that drains, of what lies on the others already, leaves nothing on it", async () => {
  const { nodes, cluster } = await filled({ nodes: 4, copies: 2, acks: 2 }, 0);
  const leaving = nodes[0]!;
  await setDraining(leaving, true);
  const digest = await pushBlob(nodes[1]!, REPOSITORY, Buffer.from("pushed again"));
  await passes();
  const record = cluster.shared.catalog.blob(digest)!;
  const commitId = "0.late";
  await leaving.blobs.receive(
    { digest, sizeBytes: record.sizeBytes, root: record.root },
    commitId,
    body(Buffer.from("pushed again")),
    NEVER,
  );
  const { sizeBytes, root } = record;
  const commit = {
    type: "blob.commit",
    repository: REPOSITORY,
    digest,
    sizeBytes,
    root: root!,
    copies: [leaving.raftId],
    deadline: 2 ** 40,
    commitId,
  } as const;
  expect((await leaving.consensus.propose(commit)).refused).toBeUndefined();
  await cluster.idle(); // no pass of the repair, and none of the drain's clock
  expect(holders(digest)).not.toContain(leaving.raftId);
});

test("what is pushed while a node drains lies on the others, and a drain that is taken back lets it take copies again", async () => {
  const { nodes } = await filled({ nodes: 4, copies: 3, acks: 2 }, 0);
  const leaving = nodes[0]!;
  await setDraining(leaving, true);
  const through = await pushBlob(leaving, REPOSITORY, Buffer.from("through the node that drains"));
  await passes();
  expect(holders(through)).toHaveLength(3);
  expect(holders(through)).not.toContain(leaving.raftId);
  await setDraining(leaving, false);
  const digests: Digest[] = [];
  for (let n = 0; n < 20; n += 1) digests.push(await pushBlob(nodes[1]!, REPOSITORY, Buffer.from(`later ${n}`)));
  await passes();
  expect(digests.filter((digest) => holders(digest).includes(leaving.raftId)).length).toBeGreaterThan(5);
});

test("G1: a drain that would leave too few members for the copies is refused, and a second one beside it", async () => {
  const { nodes } = await filled({ nodes: 3, copies: 3, acks: 2 }, 1);
  expect(await setDraining(nodes[0]!, true)).toBeUndefined();
  expect(await setDraining(nodes[1]!, true)).toBe("count");
  await setDraining(nodes[0]!, false);
  await cluster!.apply({ type: "member.state", raftId: nodes[2]!.raftId, down: true });
  expect(await setDraining(nodes[1]!, true)).toBe("count");
});

test("pulls of what moves away go on through the node that drains", async () => {
  const { nodes, digests } = await filled({ nodes: 3, copies: 2, acks: 2 }, 12);
  const leaving = nodes[0]!;
  const pull = async (digest: Digest): Promise<string> => {
    const { value } = await leaving.registry.blob(ANYONE, REPOSITORY, digest, NEVER);
    return (await collect(value.open({ start: 0, end: value.sizeBytes }, NEVER))).toString();
  };
  await setDraining(leaving, true);
  const during = await Promise.all(digests.map(pull));
  await passes();
  expect(during).toEqual(digests.map((_, n) => `blob ${n}`));
  expect(await Promise.all(digests.map(pull))).toEqual(during);
});

test("what a drain is to move is not short of copies, and is moved like what is", async () => {
  const { nodes, digests, cluster } = await filled({ nodes: 4, copies: 3, acks: 2 }, 12);
  const leaving = nodes[0]!;
  const { shortage } = nodes[1]!.repair;
  for (const { exchange } of nodes) exchange.spread = async () => [];
  const held = cluster.shared.catalog.copiesOf(leaving.raftId);
  await setDraining(leaving, true);
  await cluster.idle();
  expect(shortage.amount).toEqual({ blobs: 0, bytes: 0 });
  expect(shortage.mendable.blobs).toBe(held);
  const lost = digests.find((digest) => holders(digest).includes(leaving.raftId))!;
  const other = nodes.find(({ raftId }) => raftId !== leaving.raftId && holders(lost).includes(raftId))!;
  await cluster.apply({ type: "copy.drop", digest: lost, copy: other.raftId, bad: true });
  await cluster.idle();
  expect(shortage.amount.blobs).toBe(1);
});
