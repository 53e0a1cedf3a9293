import { expect, test } from "vitest";
import { MemoryCluster } from "./memory-cluster.ts";
import type { SnapshotMessage, StorageReply } from "./types.ts";

const confState = { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

function snapshotMessage(index: number, term: number): SnapshotMessage {
  return { type: "snapshot", from: 1, to: 2, term: 5, snapshot: { meta: { index, term, confState }, data: Uint8Array.of(1) } };
}

/** Node 3 was cut off while the others went on and dropped the log that it needs. */
function behind(): MemoryCluster {
  const cluster = new MemoryCluster([1, 2, 3]);
  cluster.elect(1);
  cluster.isolate(3);
  for (const text of ["a", "b"]) cluster.propose(1, text);
  cluster.settle();
  cluster.member(1).compact();
  return cluster;
}

test("a peer behind the log's beginning gets a snapshot, then the entries after it (Raft paper, 7)", () => {
  const cluster = behind();
  cluster.propose(1, "c");
  cluster.settle();
  cluster.heal();
  cluster.tick(1);
  cluster.settle();
  expect(cluster.member(3).texts).toEqual(["a\nb", "c"]);
  expect(cluster.node(1).status().progress.get(3)).toMatchObject({ state: "replicate", match: 4 });
});

test("a peer that waits for a snapshot gets no appends until it answers or the driver reports", () => {
  for (const status of ["failure", "finish"] as const) {
    const cluster = behind();
    cluster.lose(({ type }) => type === "snapshot");
    cluster.tick(1);
    cluster.settle();
    expect(cluster.node(1).status().progress.get(3)).toMatchObject({ state: "snapshot", pendingSnapshot: 3 });
    cluster.node(1).reportSnapshot(3, status);
    expect(cluster.node(1).status().progress.get(3)).toMatchObject({ state: "probe", next: status === "finish" ? 4 : 2, paused: true });
    cluster.heal();
    cluster.tick(1);
    cluster.settle();
    expect(cluster.node(1).status().progress.get(3)?.state).toBe("replicate");
  }
});

test("a peer that has not been heard from is sent no snapshot", () => {
  const cluster = behind();
  cluster.elect(2);
  cluster.member(2).compact();
  cluster.propose(2, "d");
  cluster.work();
  expect(cluster.queue.some(({ type }) => type === "snapshot")).toBe(false);
});

test("a snapshot that the log already contains moves the commit index and wipes nothing (Raft paper, 7)", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  const entries = [1, 2, 3].map((index) => ({ index, term: 5, type: "normal" as const, data: undefined }));
  cluster.node(2).step({ type: "append", from: 1, to: 2, term: 5, prevIndex: 0, prevTerm: 0, entries, commit: 0 });
  cluster.node(2).step(snapshotMessage(2, 5));
  expect(cluster.node(2).status()).toMatchObject({ commit: 2, lastIndex: 3 });
  expect(cluster.node(2).ready().snapshot).toBeUndefined();
});

test("a snapshot of another history takes the place of the log", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  const entries = [1, 2, 3].map((index) => ({ index, term: 4, type: "normal" as const, data: undefined }));
  cluster.node(2).step({ type: "append", from: 1, to: 2, term: 4, prevIndex: 0, prevTerm: 0, entries, commit: 0 });
  cluster.node(2).step(snapshotMessage(2, 5));
  expect(cluster.node(2).status()).toMatchObject({ commit: 2, lastIndex: 2 });
});

test("an old snapshot is ignored, and one without this node in its configuration", () => {
  const cluster = new MemoryCluster([1, 2, 3]);
  const message = snapshotMessage(9, 5);
  const without = { ...message.snapshot.meta, confState: { ...confState, voters: [1, 3] } };
  cluster.node(2).step({ ...message, snapshot: { ...message.snapshot, meta: without } });
  expect(cluster.node(2).status().commit).toBe(0);
  cluster.node(2).step(message);
  cluster.node(2).step(snapshotMessage(4, 5));
  expect(cluster.node(2).status()).toMatchObject({ commit: 9, lastIndex: 9 });
});

test("a node that is installing a snapshot neither campaigns nor applies", () => {
  const cluster = new MemoryCluster([1, 2, 3], { asyncStorageWrites: true });
  const node = cluster.node(2);
  node.step(snapshotMessage(9, 5));
  const entries = [{ index: 10, term: 5, type: "normal" as const, data: undefined }];
  node.step({ type: "append", from: 1, to: 2, term: 5, prevIndex: 9, prevTerm: 5, entries, commit: 10 });
  const ready = node.ready();
  node.campaign();
  expect(node.status().role).toBe("follower");
  expect(ready.storageApply).toBeUndefined();
  expect(ready.storageAppend?.snapshot?.meta.index).toBe(9);
});

test("answers of the applier that a snapshot has overtaken are taken, and change nothing", () => {
  const cluster = new MemoryCluster([1, 2, 3], { asyncStorageWrites: true });
  const { storage } = cluster.member(2);
  const node = cluster.node(2);
  const entries = [{ index: 1, term: 5, type: "normal" as const, data: undefined }];
  node.step({ type: "append", from: 1, to: 2, term: 5, prevIndex: 0, prevTerm: 0, entries, commit: 1 });
  const written = node.ready().storageAppend;
  storage.append(written?.entries ?? []);
  for (const response of written?.responses ?? []) if (response.type === "storageAppendReply") node.step(response);
  const apply = node.ready().storageApply;
  expect(apply?.entries).toHaveLength(1);
  node.step(snapshotMessage(9, 5));
  const install = node.ready().storageAppend;
  if (install?.snapshot !== undefined) storage.applySnapshot(install.snapshot);
  for (const response of install?.responses ?? []) if (response.type === "storageAppendReply") node.step(response);
  for (const response of apply?.responses ?? []) node.step(response);
  expect(node.status()).toMatchObject({ applied: 9, commit: 9 });
});

test("at a restart the configuration is the snapshot's, and what came after is applied again", () => {
  const cluster = behind();
  cluster.propose(1, "c");
  cluster.settle();
  const member = cluster.member(1);
  member.restart();
  expect(member.raw.status()).toMatchObject({ role: "follower", term: 1, applied: 4, lastIndex: 4 });
  expect(member.raw.status().config.voters.incoming).toEqual([1, 2, 3]);
});

test("a commit index beyond the stored log is corruption, and the node does not start", () => {
  const start = (): MemoryCluster => {
    const cluster = new MemoryCluster([1, 2, 3]);
    cluster.member(1).storage.setHardState({ term: 1, vote: 0, commit: 3 });
    cluster.member(1).restart();
    return cluster;
  };
  expect(start).toThrow(/outside the log/);
});

test("committed entries are handed out within their size limit, one by one, as they are acknowledged", () => {
  const cluster = new MemoryCluster([1], { maxCommittedSizePerReady: 1, asyncStorageWrites: true });
  const node = cluster.node(1);
  const { storage } = cluster.member(1);
  const write = (): number => {
    const { storageAppend, storageApply } = node.ready();
    storage.append(storageAppend?.entries ?? []);
    for (const response of storageAppend?.responses ?? []) node.step(response);
    for (const response of storageApply?.responses ?? []) node.step(response);
    return storageApply?.entries.length ?? 0;
  };
  node.campaign();
  write();
  for (const text of ["a", "b"]) node.propose(new TextEncoder().encode(text));
  const batches: number[] = [];
  while (node.hasReady()) batches.push(write());
  expect(batches.filter((count) => count > 0)).toEqual([1, 1, 1]);
});

test("what the size limit cut off waits until the entries before it are acknowledged", () => {
  const cluster = new MemoryCluster([1], { maxCommittedSizePerReady: 1, asyncStorageWrites: true });
  const node = cluster.node(1);
  const { storage } = cluster.member(1);
  const handedOut: number[] = [];
  const waiting: StorageReply[] = [];
  const work = (): void => {
    const { storageAppend, storageApply } = node.ready();
    storage.append(storageAppend?.entries ?? []);
    for (const response of storageAppend?.responses ?? []) node.step(response);
    handedOut.push(...(storageApply?.entries ?? []).map(({ index }) => index));
    waiting.push(...(storageApply?.responses ?? []));
  };
  node.campaign();
  work();
  node.propose(new Uint8Array(1));
  while (node.hasReady()) work();
  expect(handedOut).toEqual([1]);
  for (const response of waiting.splice(0)) node.step(response);
  while (node.hasReady()) work();
  expect(handedOut).toEqual([1, 2]);
});
