import { afterEach, expect, test } from "vitest";
import { ANYONE, body, collect, holdReceives, NEVER, pushBlob, TestCluster, type TestNode } from "../../test/registry/cluster.ts";
import { digestOf } from "../core/digest.ts";
import type { RepositoryName } from "../core/reference.ts";
import { parseUploadId } from "./upload-id.ts";

const REPOSITORY = "team/app" as RepositoryName;
const BYTES = Buffer.from("the bytes of a layer");
const DIGEST = digestOf(BYTES);

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function start(...options: Parameters<typeof TestCluster.start>): Promise<TestCluster> {
  cluster = await TestCluster.start(...options);
  return cluster;
}

test("G1: at the 201 of a blob, `need` members hold it; the rest of the target follows", async () => {
  const { shared, nodes } = await start({ nodes: 5, copies: 3, acks: 2 });
  const node = nodes[0]!;
  const { id } = await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  let durable = 0;
  shared.onApplied(({ command }) => {
    if (command.type !== "blob.commit") return;
    expect(command.copies[0]).toBe(node.raftId);
    durable = command.copies.length;
  });
  await node.registry.finishUpload(ANYONE, { repository: REPOSITORY, id, body: body(BYTES), digest: DIGEST }, NEVER);
  expect(durable).toBeGreaterThanOrEqual(2);
  await cluster?.idle();
  const record = shared.catalog.blob(DIGEST);
  expect(record).toMatchObject({ state: "live", sizeBytes: BYTES.byteLength });
  expect(record?.copies.length).toBe(3);
  for (const each of nodes) {
    const here = await each.blobs.stat(DIGEST);
    expect(here?.settled, `node ${each.raftId}`).toBe(record?.copies.includes(each.raftId) === true ? true : undefined);
    expect(each.blobs.pins()).toEqual([]);
  }
});

test("G1: without `need` members a push is 503, makes no record, keeps the session, and the PUT works when it is sent again", async () => {
  const { shared, nodes, hub } = await start({ nodes: 3 });
  const node = nodes[0]!;
  for (const other of nodes.slice(1)) hub.cut(other.peerId);
  const { id } = await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const put = () => node.registry.finishUpload(ANYONE, { repository: REPOSITORY, id, body: body(BYTES), digest: DIGEST }, NEVER);
  await expect(put()).rejects.toMatchObject({ code: "UNAVAILABLE", detail: { need: 2, copies: 1 } });
  expect(shared.catalog.blob(DIGEST)).toBeUndefined();
  expect(shared.catalog.link(REPOSITORY, DIGEST)).toBeUndefined();
  hub.heal(nodes[2]!.peerId);
  await expect(put()).resolves.toEqual({ digest: DIGEST });
  await cluster?.idle();
  expect(shared.catalog.blob(DIGEST)?.copies).toEqual([node.raftId, nodes[2]!.raftId]);
});

test("G1: a member that fails is replaced by the next one of the placement", async () => {
  const { shared, nodes, hub } = await start({ nodes: 4, copies: 2, acks: 2 });
  const node = nodes[0]!;
  for (const cutOff of [nodes[1]!, nodes[2]!]) hub.cut(cutOff.peerId);
  await pushBlob(node, REPOSITORY, BYTES);
  expect(shared.catalog.blob(DIGEST)?.copies).toEqual([node.raftId, nodes[3]!.raftId]);
});

test("a retried PUT of a finished upload is answered 201 again, through any node", async () => {
  const { nodes, shared } = await start({ nodes: 3 });
  const { id } = await nodes[0]!.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const chunk = { repository: REPOSITORY, id, digest: DIGEST };
  await nodes[1]!.registry.finishUpload(ANYONE, { ...chunk, body: body(BYTES) }, NEVER);
  const { commitIndex } = shared.status();
  for (const node of nodes) {
    expect(await node.registry.finishUpload(ANYONE, { ...chunk, body: body(BYTES) }, NEVER)).toEqual({ digest: DIGEST });
    expect(await node.registry.finishUpload(ANYONE, { ...chunk, body: body() }, NEVER)).toEqual({ digest: DIGEST });
  }
  await cluster?.idle();
  expect(shared.status().commitIndex - commitIndex).toBeLessThanOrEqual(1); // a late copy at most: nothing is committed again
  const other = digestOf(Buffer.from("other"));
  await expect(nodes[2]!.registry.finishUpload(ANYONE, { ...chunk, digest: other, body: body() }, NEVER)).rejects.toMatchObject({
    code: "DIGEST_INVALID",
  });
});

test("G1: the 201 does not wait for the last target; it is added to the record under the same commit when it acknowledges", async () => {
  const { nodes, shared } = await start({ nodes: 3 });
  const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
  for (const { repair } of nodes) repair.stop();
  const release = holdReceives(c);
  await pushBlob(a, REPOSITORY, BYTES);
  expect(shared.catalog.blob(DIGEST)?.copies).toEqual([a.raftId, b.raftId]);
  const added = new Promise<string>((resolve) => {
    shared.onApplied(({ command }) => {
      if (command.type === "copy.add" && command.copy === c.raftId) resolve(command.commitId);
    });
  });
  release();
  const commit = a.consensus.proposed.find(({ type }) => type === "blob.commit");
  expect(await added).toBe(commit?.type === "blob.commit" ? commit.commitId : "none");
  await cluster?.idle();
  expect((await c.blobs.stat(DIGEST))?.settled).toBe(true);
});

test("a client that leaves while its blob is spread may send the PUT again: the session's commit has gone on", async () => {
  const { nodes, shared } = await start({ nodes: 2 });
  const [a, b] = nodes as [TestNode, TestNode];
  const release = holdReceives(b);
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const client = new AbortController();
  const chunk = { repository: REPOSITORY, id, digest: DIGEST };
  const put = a.registry.finishUpload(ANYONE, { ...chunk, body: body(BYTES) }, client.signal);
  await new Promise(setImmediate);
  const again = a.registry.finishUpload(ANYONE, { ...chunk, body: body(BYTES) }, NEVER);
  client.abort();
  await expect(put).rejects.toMatchObject({ name: "AbortError" });
  expect(shared.catalog.blob(DIGEST)).toBeUndefined();
  release();
  await again;
  expect(shared.catalog.blob(DIGEST)?.copies).toEqual([a.raftId, b.raftId]);
  expect(a.consensus.proposed.filter(({ type }) => type === "blob.commit")).toHaveLength(1);
});

test("a PUT that a restart of the owner cut off after its bytes were pinned is sent again, whole: its commit follows, through any node", async () => {
  const { nodes, shared } = await start({ nodes: 2 });
  const [a, b] = nodes as [TestNode, TestNode];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const { local } = parseUploadId(id);
  await a.uploads.append(local, { last: true }, body(BYTES), NEVER);
  await a.uploads.finish(local, DIGEST, a.repair.newCommit(BYTES.byteLength).commitId, NEVER); // as far as the owner came
  const chunk = { repository: REPOSITORY, id, digest: DIGEST };
  const again = [a, b].map(({ registry }) => registry.finishUpload(ANYONE, { ...chunk, body: body(BYTES) }, NEVER));
  expect(await Promise.all(again)).toEqual([{ digest: DIGEST }, { digest: DIGEST }]);
  expect(shared.catalog.link(REPOSITORY, DIGEST)).toBeDefined();
  expect(a.consensus.proposed.filter(({ type }) => type === "blob.commit")).toHaveLength(1);
});

test("G1: what is gathered for a commit heeds its signal, whatever a target does", async () => {
  const { nodes } = await start({ nodes: 2 });
  const [a, b] = nodes as [TestNode, TestNode];
  const release = holdReceives(b);
  const commit = a.repair.newCommit(BYTES.byteLength);
  const source = a.blobs.put(BYTES);
  const { root } = (await a.blobs.pin(source, commit.commitId))!;
  const caller = new AbortController();
  const gathered = a.repair.gather({ digest: source, sizeBytes: BYTES.byteLength, root }, commit, caller.signal);
  caller.abort();
  await expect(gathered).rejects.toMatchObject({ name: "AbortError" });
  release();
});

test("two PUTs of one upload at once are one commit", async () => {
  const { nodes } = await start({ nodes: 2 });
  const [a, b] = nodes as [TestNode, TestNode];
  const release = holdReceives(b);
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  await a.registry.appendUpload(ANYONE, { repository: REPOSITORY, id, body: body(BYTES) }, NEVER);
  const put = ({ registry }: TestNode) =>
    registry.finishUpload(ANYONE, { repository: REPOSITORY, id, body: body(), digest: DIGEST }, NEVER);
  const first = put(a);
  await new Promise(setImmediate);
  const second = put(b);
  await new Promise(setImmediate);
  release();
  await Promise.all([first, second]);
  expect(a.consensus.proposed.filter(({ type }) => type === "blob.commit")).toHaveLength(1);
});

test("G6: a digest that does not match is refused, and leaves no file, no record and no session", async () => {
  const { nodes, shared } = await start({ nodes: 2 });
  const node = nodes[0]!;
  const { id } = await node.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const wrong = digestOf(Buffer.from("something else"));
  const chunk = { repository: REPOSITORY, id, digest: wrong };
  await expect(nodes[1]!.registry.finishUpload(ANYONE, { ...chunk, body: body(BYTES) }, NEVER)).rejects.toMatchObject({
    code: "DIGEST_INVALID",
  });
  expect(shared.catalog.blob(wrong)).toBeUndefined();
  expect(node.blobs.pins()).toEqual([]);
  await expect(node.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
});

test("a blob that the cluster keeps already is linked without being spread again, and stays where it is", async () => {
  const { nodes, shared } = await start({ nodes: 4, copies: 2, acks: 2 });
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await cluster?.idle();
  const { copies } = shared.catalog.blob(DIGEST)!;
  const other = nodes.find((node) => !copies.includes(node.raftId))!;
  const elsewhere = "team/other" as RepositoryName;
  await pushBlob(other, elsewhere, BYTES);
  await cluster?.idle();
  expect(shared.catalog.blob(DIGEST)?.copies).toEqual(copies);
  const read = await other.registry.blob(ANYONE, elsewhere, DIGEST, NEVER);
  expect(await collect(read.value.open({ start: 0, end: BYTES.byteLength }, NEVER))).toEqual(BYTES);
  expect(other.blobs.pins()).toHaveLength(1);
  await cluster?.passTime(15 * 60_000);
  other.settling.look();
  await cluster?.idle();
  expect(await other.blobs.stat(DIGEST)).toBeUndefined(); // the pin ended with its deadline: no record names this copy
});

test("a commit whose record has lost its copies in the meantime spreads the blob after all", async () => {
  const { nodes, shared } = await start({ nodes: 3 });
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  await cluster?.idle();
  const { copies } = shared.catalog.blob(DIGEST)!;
  for (const { repair } of nodes) repair.stop();
  const { consensus } = nodes[0]!;
  const { propose } = consensus;
  const refused: (string | undefined)[] = [];
  consensus.propose = async (command, options) => {
    if (command.type === "blob.commit" && refused.length === 0) {
      for (const copy of copies) await shared.propose({ type: "copy.drop", digest: DIGEST, copy, bad: true });
    }
    const outcome = await propose.call(consensus, command, options);
    if (command.type === "blob.commit") refused.push(outcome.refused);
    return outcome;
  };
  await pushBlob(nodes[0]!, REPOSITORY, BYTES);
  expect(refused).toEqual(["need", undefined]);
  expect(shared.catalog.blob(DIGEST)?.copies.length).toBeGreaterThanOrEqual(2);
});
