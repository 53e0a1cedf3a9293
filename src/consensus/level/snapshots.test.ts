import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import type { ConfState, SnapshotMessage } from "../../raft/types.ts";
import { Applier } from "../applier.ts";
import { DurableCatalog } from "../catalog-store.ts";
import { MemoryNetwork } from "../memory-transport.ts";
import { encodeHeader } from "../snapshot-header.ts";
import { Snapshots } from "../snapshots.ts";
import type { Transport } from "../transport.ts";
import { levelStorage } from "./level-storage.ts";

const CONF: ConfState = { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const ROWS = 200;
let root = "";
let network: MemoryNetwork;
let nodes: Node[] = [];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "snapshots-"));
  network = new MemoryNetwork({ clock: systemClock, random: seededRandom(3), delayMsMax: 0 });
  nodes = [];
});
afterEach(async () => {
  for (const node of nodes) {
    node.snapshots.stop();
    await node.store.close();
  }
  await rm(root, { recursive: true, force: true });
});

interface Node {
  readonly store: DurableCatalog;
  readonly snapshots: Snapshots;
  /** What the core was told. */
  readonly reports: string[];
  readonly steps: SnapshotMessage[];
  /** The resumed and the fresh streams of content that were begun. */
  readonly streams: boolean[];
  next(): Promise<void>;
}

const fatal = (error: Error): void => {
  throw error;
};

/** @param chunk sees each chunk that this node sends; throwing cuts the stream */
async function open(id: number, chunk: (count: number) => void = () => undefined): Promise<Node> {
  const store = await DurableCatalog.open({ storage: levelStorage(join(root, `n${id}`)), clock: systemClock, fatal });
  const reports: string[] = [];
  const steps: SnapshotMessage[] = [];
  const streams: boolean[] = [];
  let wake: () => void = () => undefined;
  const log: Log = {
    ...silentLog,
    info: (facts) => {
      if ("to" in facts) streams.push(facts.resumed === true);
    },
  };
  const inner = network.transport(id);
  const transport: Transport = {
    ...inner,
    sendSnapshot: (to, header, chunks, signal) => inner.sendSnapshot(to, header, counted(chunks, chunk), signal),
  };
  const snapshots = new Snapshots({
    self: id,
    store,
    transport,
    clock: systemClock,
    log,
    applier: new Applier({ store, fatal, batchBytes: 1_000, applyConfChange: () => CONF, applied: () => undefined }),
    report: (to, status) => {
      reports.push(`${to} ${status}`);
      wake();
    },
    step: (message) => void steps.push(message),
    installed: () => undefined,
  });
  const boot = { incarnation: 1, nonce: "0".repeat(16), earlier: [], term: 1, lastIndex: 0 };
  await transport.start(
    {
      receive: () => undefined,
      refused: () => undefined,
      unreachable: () => undefined,
      receiveSnapshot: (from, _boot, header, chunks) => snapshots.receive(from, header, chunks),
    },
    boot,
  );
  const node: Node = {
    store,
    snapshots,
    reports,
    steps,
    streams,
    next: () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      }),
  };
  nodes.push(node);
  return node;
}

async function* counted(chunks: AsyncIterable<Uint8Array>, seen: (count: number) => void): AsyncIterable<Uint8Array> {
  let count = 0;
  for await (const chunk of chunks) {
    count += 1;
    seen(count);
    yield chunk;
  }
}

async function fill(store: DurableCatalog): Promise<void> {
  for (let at = 0; at < ROWS; at += 1) {
    const changes = new Map([[`k/${String(at).padStart(6, "0")}`, Buffer.alloc(20_000, at)]]);
    const seal = Buffer.alloc(32, at + 1);
    await store.applyBatch({ entries: [{ index: store.appliedIndex + 1, seal }], changes, term: 2, confState: CONF });
  }
}

const messageTo = (to: number, { store }: Node, from = 1): SnapshotMessage => ({
  type: "snapshot",
  from,
  to,
  term: 2,
  snapshot: { meta: { index: store.appliedIndex, term: store.appliedTerm, confState: CONF }, data: new Uint8Array(0) },
});

async function send(from: Node, message: SnapshotMessage): Promise<string | undefined> {
  const told = from.next();
  from.snapshots.send(message);
  await told;
  return from.reports.at(-1);
}

const everything = async (store: DurableCatalog) => (await store.scan("", "", 10_000)).map(([key, value]) => `${key}=${value[0]}`);

test("a snapshot that was cut is reported, and goes on from the same state after what the receiver had verified", async () => {
  let cutAt = 6;
  let sent = 0;
  const one = await open(1, (count) => {
    sent += 1;
    if (count === cutAt) throw new Error("the cable was pulled");
  });
  const two = await open(2);
  await fill(one.store);
  const before = await everything(one.store);
  expect(await send(one, messageTo(2, one))).toBe("2 failure");
  expect(one.snapshots.keepFrom).toBe(ROWS);
  // Meanwhile the state moves on; what is under way stays what it was.
  await fill(one.store);
  cutAt = 9;
  expect(await send(one, messageTo(2, one))).toBe("2 failure");
  cutAt = Number.POSITIVE_INFINITY;
  expect(await send(one, messageTo(2, one))).toBe("2 finish");
  expect(one.streams).toEqual([false, true, true]);
  // Three chunks a section, and an end: about one whole stream, not two.
  expect(sent).toBeLessThan(3 * Math.ceil((ROWS * 20_000) / 262_144) + 9);
  expect([two.store.appliedIndex, await everything(two.store)]).toEqual([ROWS, before]);
  expect(two.steps.map(({ snapshot }) => snapshot.meta.index)).toEqual([ROWS]);
  expect(one.snapshots.keepFrom).toBe(Number.POSITIVE_INFINITY);
});

test("a receiver that lost what it had, as by a restart, is sent the whole of it again", async () => {
  let cutAt = 6;
  const one = await open(1, (count) => {
    if (count === cutAt) throw new Error("the cable was pulled");
  });
  const two = await open(2);
  await fill(one.store);
  expect(await send(one, messageTo(2, one))).toBe("2 failure");
  two.snapshots.stop();
  await two.store.close();
  nodes.pop();
  const again = await open(2);
  cutAt = Number.POSITIVE_INFINITY;
  expect(await send(one, messageTo(2, one))).toBe("2 finish");
  expect(one.streams).toEqual([false, false]);
  expect(await everything(again.store)).toEqual(await everything(one.store));
});

test("a stream that stands still gives way to another sender's", async () => {
  const three = await open(3);
  const two = await open(2);
  let stuck: () => void = () => undefined;
  const standing = new Promise<void>((resolve) => {
    stuck = resolve;
  });
  await fill(three.store);
  const one = await open(1);
  await fill(one.store);
  const message = messageTo(2, one);
  async function* halting(): AsyncIterable<Uint8Array> {
    stuck();
    await new Promise(() => undefined);
  }
  const halted = two.snapshots.receive(1, encodeHeader({ kind: "content", message, seal: one.store.seal, after: "" }), halting());
  const refused = expect(halted).rejects.toMatchObject({ code: "transfer", message: expect.stringContaining("in its place") });
  await standing;
  expect(await send(three, messageTo(2, three, 3))).toBe("2 finish");
  await refused;
  expect(await everything(two.store)).toEqual(await everything(three.store));
});

test("a peer that has the state already is sent nothing, and the core hears of it", async () => {
  const one = await open(1);
  const two = await open(2);
  await fill(one.store);
  await fill(two.store);
  expect(await send(one, messageTo(2, one))).toBe("2 finish");
  expect(one.streams).toEqual([]);
  expect(two.steps).toHaveLength(1);
});
