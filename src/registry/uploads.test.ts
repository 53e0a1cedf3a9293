import { afterEach, expect, test } from "vitest";
import { ANYONE, body, NEVER, TestCluster } from "../../test/registry/cluster.ts";
import { ManualClock } from "../consensus/manual-clock.ts";
import { digestOf } from "../core/digest.ts";
import { OciError } from "../core/errors.ts";
import type { RepositoryName } from "../core/reference.ts";
import { parseUploadId } from "./upload-id.ts";

const REPOSITORY = "team/app" as RepositoryName;
const OTHER = "team/other" as RepositoryName;

let cluster: TestCluster | undefined;
afterEach(() => cluster?.stop());

async function start(...options: Parameters<typeof TestCluster.start>): Promise<TestCluster> {
  cluster = await TestCluster.start(...options);
  return cluster;
}

test("G4: POST, each PATCH, GET and PUT of an upload go through one node after the other", async () => {
  const { nodes, shared } = await start({ nodes: 3 });
  const [a, b, c] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  const { id, offset } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  expect(offset).toBe(0);
  const chunk = { repository: REPOSITORY, id };
  expect(await b.registry.appendUpload(ANYONE, { ...chunk, offset: 0, sizeBytes: 3, body: body(Buffer.from("abc")) }, NEVER)).toEqual({
    id,
    offset: 3,
  });
  expect(await c.registry.appendUpload(ANYONE, { ...chunk, body: body(Buffer.from("d"), Buffer.from("ef")) }, NEVER)).toEqual({
    id,
    offset: 6,
  });
  expect(await b.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).toEqual({ id, offset: 6 });
  const digest = digestOf(Buffer.from("abcdefg"));
  await c.registry.finishUpload(ANYONE, { ...chunk, body: body(Buffer.from("g")), digest }, NEVER);
  expect(shared.catalog.link(REPOSITORY, digest)).toBeDefined();
  await expect(b.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
});

/** A body whose connection breaks after `text`. */
async function* cutAfter(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
  throw new Error("the connection broke");
}

test("G4: a PUT that was cut and is sent again whole, through another node, goes on behind what is held, as often as it takes", async () => {
  const { nodes, shared } = await start({ nodes: 3 });
  const [a, b, c] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  await b.registry.appendUpload(ANYONE, { repository: REPOSITORY, id, body: body(Buffer.from("abc")) }, NEVER);
  const digest = digestOf(Buffer.from("abcdefghi"));
  const put = { repository: REPOSITORY, id, sizeBytes: 6, digest };
  const held = async (): Promise<number> => (await c.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).offset;
  await expect(a.registry.finishUpload(ANYONE, { ...put, body: cutAfter("de") }, NEVER)).rejects.toThrow();
  expect(await held()).toBe(5);
  await expect(b.registry.finishUpload(ANYONE, { ...put, body: cutAfter("d") }, NEVER)).rejects.toThrow();
  expect(await held(), "cut before anything new came").toBe(5);
  await expect(a.registry.finishUpload(ANYONE, { ...put, body: cutAfter("defg") }, NEVER)).rejects.toThrow();
  expect(await held()).toBe(7);
  await c.registry.finishUpload(ANYONE, { ...put, body: body(Buffer.from("d"), Buffer.from("efghi")) }, NEVER);
  expect(shared.catalog.link(REPOSITORY, digest)).toBeDefined();
});

test("G4: a PUT that was cut before its owner restarted is sent again whole: what the session remembers of it is enough", async () => {
  const { nodes, shared } = await start({ nodes: 2 });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const digest = digestOf(Buffer.from("abcdef"));
  const cut = { last: true, digest, sizeBytes: 6 };
  await expect(a.uploads.append(parseUploadId(id).local, cut, cutAfter("abc"), NEVER)).rejects.toThrow(); // by the process before
  await b.registry.finishUpload(ANYONE, { repository: REPOSITORY, id, sizeBytes: 6, digest, body: body(Buffer.from("abcdef")) }, NEVER);
  expect(shared.catalog.link(REPOSITORY, digest)).toBeDefined();
});

test("after a PUT that was cut, one that brings the rest alone is taken as the rest, and one of another digest is not taken for the same", async () => {
  const { nodes, shared } = await start({ nodes: 2 });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const digest = digestOf(Buffer.from("aaaaaa"));
  const first = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const put = { repository: REPOSITORY, id: first.id, digest };
  await expect(a.registry.finishUpload(ANYONE, { ...put, sizeBytes: 6, body: cutAfter("aa") }, NEVER)).rejects.toThrow();
  await b.registry.finishUpload(ANYONE, { ...put, sizeBytes: 4, body: body(Buffer.from("aaaa")) }, NEVER);
  expect(shared.catalog.link(REPOSITORY, digest)).toBeDefined();
  const second = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const other = { repository: REPOSITORY, id: second.id, sizeBytes: 6, digest: digestOf(Buffer.from("bbcccccc")) };
  await expect(a.registry.finishUpload(ANYONE, { ...other, digest, body: cutAfter("bb") }, NEVER)).rejects.toThrow();
  await b.registry.finishUpload(ANYONE, { ...other, body: body(Buffer.from("cccccc")) }, NEVER);
  expect(shared.catalog.link(REPOSITORY, other.digest)).toBeDefined();
});

test("G4: refusals of the owner come back as they were, through another node", async () => {
  const { nodes } = await start({ nodes: 2 });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const chunk = { repository: REPOSITORY, id };
  await b.registry.appendUpload(ANYONE, { ...chunk, body: body(Buffer.from("abc")) }, NEVER);
  const late = b.registry.appendUpload(ANYONE, { ...chunk, offset: 7, body: body(Buffer.from("x")) }, NEVER);
  await expect(late).rejects.toMatchObject({ code: "RANGE_INVALID", detail: { offset: 3 } });
  const short = b.registry.appendUpload(ANYONE, { ...chunk, sizeBytes: 9, body: body(Buffer.from("x")) }, NEVER);
  await expect(short).rejects.toMatchObject({ code: "SIZE_INVALID" });
  expect((await b.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).offset).toBe(4);
  await b.registry.cancelUpload(ANYONE, REPOSITORY, id, NEVER);
  await expect(a.registry.cancelUpload(ANYONE, REPOSITORY, id, NEVER)).rejects.toMatchObject({ code: "BLOB_UPLOAD_UNKNOWN" });
});

test("G10: a session answers only for the repository and the principal that it was opened for", async () => {
  const { nodes } = await start({ nodes: 2 });
  const { id } = await nodes[0]!.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  for (const { registry } of nodes) {
    const unknown = { code: "BLOB_UPLOAD_UNKNOWN" };
    await expect(registry.uploadProgress(ANYONE, OTHER, id, NEVER)).rejects.toMatchObject(unknown);
    await expect(registry.uploadProgress({ principal: "mallory" }, REPOSITORY, id, NEVER)).rejects.toMatchObject(unknown);
    await expect(registry.cancelUpload({ principal: "mallory" }, REPOSITORY, id, NEVER)).rejects.toMatchObject(unknown);
    const chunk = { repository: OTHER, id, body: body(Buffer.from("x")) };
    await expect(registry.appendUpload(ANYONE, chunk, NEVER)).rejects.toMatchObject(unknown);
    await expect(registry.finishUpload(ANYONE, { ...chunk, digest: digestOf(Buffer.from("x")) }, NEVER)).rejects.toMatchObject(unknown);
  }
  expect((await nodes[1]!.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).offset).toBe(0);
});

test("ids that are none, and those of nodes that are no members, are unknown uploads", async () => {
  const { nodes } = await start({ nodes: 1 });
  const { id } = await nodes[0]!.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const local = id.split(".")[1];
  const stranger = `12D3KooW${"9".repeat(44)}.${local}`;
  for (const bad of ["", ".", "x", `${nodes[0]!.peerId}.`, `${nodes[0]!.peerId}.${local}0`, `.${local}`, "../../etc", stranger]) {
    await expect(nodes[0]!.registry.uploadProgress(ANYONE, REPOSITORY, bad, NEVER), bad).rejects.toMatchObject({
      code: "BLOB_UPLOAD_UNKNOWN",
    });
  }
});

test("G4: an owner that restarts is awaited, and the body is not touched before it is there", async () => {
  const { nodes, hub } = await start({ nodes: 2, limits: { ownerWaitMs: 60_000 } });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  hub.cut(a.peerId);
  let taken = 0;
  const source: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        taken += 1;
        return taken === 1 ? { done: false, value: Buffer.from("abc") } : { done: true, value: undefined };
      },
    }),
  };
  const append = b.registry.appendUpload(ANYONE, { repository: REPOSITORY, id, body: source }, NEVER);
  await new Promise(setImmediate);
  expect(taken).toBe(0);
  hub.heal(a.peerId);
  expect(await append).toEqual({ id, offset: 3 });
});

test("an owner that stays silent, or is no member any more, makes the upload unknown: the client begins again", async () => {
  const { nodes, hub, shared } = await start({ nodes: 3 });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await b.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  hub.cut(b.peerId);
  const unknown = { code: "BLOB_UPLOAD_UNKNOWN" };
  await expect(a.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).rejects.toMatchObject(unknown);
  hub.heal(b.peerId);
  expect((await a.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).offset).toBe(0);
  await shared.propose({ type: "member.remove", raftId: b.raftId });
  await expect(a.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).rejects.toMatchObject(unknown);
});

test("a 503 of the owner itself is passed on at once and not taken for silence", async () => {
  const { nodes, hub } = await start({ nodes: 3, limits: { ownerWaitMs: 60_000 } });
  const [a, b, c] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  a.consensus.cutOff = true;
  hub.cut(c.peerId);
  const digest = digestOf(Buffer.from("x"));
  const put = b.registry.finishUpload(ANYONE, { repository: REPOSITORY, id, body: body(Buffer.from("x")), digest }, NEVER);
  await expect(put).rejects.toMatchObject({ code: "UNAVAILABLE", detail: { freshness: "cutOff" } });
});

test("an owner that dies in the middle of a body is 503 and not tried again: the bytes are gone, and GET says where to go on", async () => {
  const { nodes } = await start({ nodes: 2, limits: { ownerWaitMs: 60_000 } });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  let calls = 0;
  b.exchange.call = async (_owner, _request, source) => {
    calls += 1;
    await source?.[Symbol.asyncIterator]().next();
    throw new OciError("UNAVAILABLE", "the owner went away");
  };
  const append = b.registry.appendUpload(ANYONE, { repository: REPOSITORY, id, body: body(Buffer.from("abc")) }, NEVER);
  await expect(append).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(calls).toBe(1);
});

test("G3: a node that is cut off does not wait for the owner of an upload: 503, and not unknown", async () => {
  const { nodes, hub } = await start({ nodes: 2, limits: { ownerWaitMs: 60_000 } });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  hub.cut(a.peerId);
  b.consensus.cutOff = true;
  await expect(b.registry.uploadProgress(ANYONE, REPOSITORY, id, NEVER)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("G3: a node that is cut off gives an owner up that takes nothing and says nothing, and not one that takes the body", async () => {
  const clock = new ManualClock();
  const { nodes } = await start({ nodes: 2, clock, limits: { ownerWaitMs: 60_000 } });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const { id } = await a.registry.startUpload(ANYONE, REPOSITORY, "sha256", NEVER);
  const calls: AsyncIterator<Uint8Array>[] = [];
  b.exchange.call = async (_owner, _request, source, signal) => {
    calls.push(source![Symbol.asyncIterator]());
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  };
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) yield Buffer.from("abc");
  };
  let ended = 0;
  const append = (): Promise<unknown> =>
    b.registry.appendUpload(ANYONE, { repository: REPOSITORY, id, body: endless() }, NEVER).catch((error: unknown) => {
      ended += 1;
      return error;
    });
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await new Promise(setImmediate);
  };
  const [silent, taking] = [append(), append()];
  await pass(3_000);
  expect(ended, "with a majority it may be restarting").toBe(0);
  await calls[1]!.next();
  b.consensus.cutOff = true;
  await pass(500);
  expect(await silent).toMatchObject({ code: "UNAVAILABLE", detail: { freshness: "cutOff" } });
  for (let at = 0; at < 10; at += 1) {
    await calls[1]!.next();
    await pass(500);
  }
  expect(ended).toBe(1);
  await pass(1_500);
  expect(await taking).toMatchObject({ code: "UNAVAILABLE", detail: { freshness: "cutOff" } });
});
