import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { silentLog } from "../core/log.ts";
import { MemoryStore } from "../metadata/memory-store.ts";
import { SnapshotWriter } from "../metadata/snapshot.ts";
import type { Change } from "../metadata/view.ts";
import type { ConfState, SnapshotMessage } from "../raft/types.ts";
import { ManualClock } from "./manual-clock.ts";
import { decodeHeader, decodeWanted, encodeWanted } from "./snapshot-header.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { SnapshotSender } from "./snapshot-sender.ts";
import type { AppliedStore, StoreSnapshot } from "./store.ts";
import type { Transport } from "./transport.ts";

const CONF: ConfState = { voters: [1, 2], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const META = { index: 9, term: 2, confState: CONF };
const SEAL = new Uint8Array(32);
const MESSAGE: SnapshotMessage = { type: "snapshot", from: 1, to: 2, term: 2, snapshot: { meta: META, data: new Uint8Array(0) } };

function stateOf(rows: number, valueBytes: number): MemoryStore {
  return new MemoryStore(
    Array.from({ length: rows }, (_, at) => [`k/${String(at).padStart(6, "0")}`, Buffer.alloc(valueBytes, at)] as const),
  );
}

/** The part of a store that a receiver sees. */
function staged(write: (rows: readonly Change[]) => void, discard: () => void = () => {}): AppliedStore {
  const staging = {
    write: async (rows: readonly Change[]) => write(rows),
    finish: async () => {},
    commit: async () => {},
    discard: async () => discard(),
  };
  return { appliedIndex: 0, stage: async () => staging } as unknown as AppliedStore;
}

function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}

test("a snapshot is never whole in memory while it is received: what was written of it is let go of", async () => {
  const collect = collector();
  const chunks: WeakRef<Uint8Array>[] = [];
  let written = 0;
  let mostHeld = 0;
  const store = staged((rows) => {
    written += rows.length;
    if (chunks.length % 50 !== 0) return;
    collect();
    mostHeld = Math.max(mostHeld, chunks.filter((chunk) => chunk.deref() !== undefined).length);
  });
  async function* sent(): AsyncIterable<Uint8Array> {
    for await (const chunk of new SnapshotWriter(stateOf(1_000, 60_000)).chunks()) {
      // A turn of its own each, as from a socket: only between turns are weak references let go of.
      await new Promise<void>((resolve) => setImmediate(resolve));
      const copy = new Uint8Array(chunk);
      chunks.push(new WeakRef(copy));
      yield copy;
    }
  }
  const receiver = new SnapshotReceiver({
    self: 2,
    store,
    clock: new ManualClock(),
    log: silentLog,
    wants: () => true,
    install: async () => {},
  });
  await receiver.take(1, { kind: "content", message: MESSAGE, seal: SEAL, after: "" }, sent());
  expect([written, chunks.length > 400, mostHeld > 0]).toEqual([1_000, true, true]);
  expect(mostHeld).toBeLessThan(20);
});

test("what a stream that was cut has brought is let go of where nobody goes on with it", async () => {
  const clock = new ManualClock();
  let discarded = 0;
  const discard = (): void => {
    discarded += 1;
  };
  const receiver = new SnapshotReceiver({
    self: 2,
    store: staged(() => {}, discard),
    clock,
    log: silentLog,
    wants: () => true,
    install: async () => {},
  });
  const writer = new SnapshotWriter(stateOf(100, 20_000));
  async function* cut(after: string): AsyncIterable<Uint8Array> {
    let count = 0;
    for await (const chunk of writer.chunks(after)) {
      count += 1;
      if (count === 5) throw new Error("the cable was pulled");
      yield chunk;
    }
  }
  const content = (after: string) => ({ kind: "content", message: MESSAGE, seal: SEAL, after }) as const;
  await expect(receiver.take(1, content(""), cut(""))).rejects.toThrow("the cable");
  clock.advance(100_000);
  const wanted = decodeWanted(await receiver.take(1, { kind: "offer", message: MESSAGE, seal: SEAL }, cut("")));
  expect([discarded, wanted === ""]).toEqual([0, false]);
  // Gone on with, and cut again: from then on it is counted anew.
  await expect(receiver.take(1, content(wanted ?? ""), cut(wanted ?? ""))).rejects.toThrow("the cable");
  clock.advance(100_000);
  expect(discarded).toBe(0);
  clock.advance(20_000);
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(discarded).toBe(1);
  expect(decodeWanted(await receiver.take(1, { kind: "offer", message: MESSAGE, seal: SEAL }, cut("")))).toBe("");
});

test("a held state that cannot be read any more, as after its database was opened again, is let go of: the next stream is of a fresh one", async () => {
  const rows = stateOf(100, 20_000);
  let closed = false;
  let taken = 0;
  const arrived: Uint8Array[] = [];
  const store = {
    snapshot: async (): Promise<StoreSnapshot> => {
      taken += 1;
      const isFirst = taken === 1;
      return {
        meta: META,
        seal: SEAL,
        get: (key) => rows.get(key),
        scan: async (prefix, after, limit) => {
          if (isFirst && closed) throw new Error("Database is not open");
          return rows.scan(prefix, after, limit);
        },
        close: async () => {},
      };
    },
  } as unknown as AppliedStore;
  const transport = {
    sendSnapshot: async (_to: number, header: Uint8Array, chunks: AsyncIterable<Uint8Array>) => {
      if (decodeHeader(header).kind === "offer") return encodeWanted("");
      for await (const chunk of chunks) {
        arrived.push(chunk);
        closed = true;
      }
      return new Uint8Array(0);
    },
  } as unknown as Transport;
  let told: (status: string) => void = () => undefined;
  const sender = new SnapshotSender({ store, transport, clock: new ManualClock(), log: silentLog, report: (_to, status) => told(status) });
  const send = (): Promise<string> =>
    new Promise((resolve) => {
      told = resolve;
      sender.send(MESSAGE);
    });
  expect([await send(), sender.keepFrom]).toEqual(["failure", Number.POSITIVE_INFINITY]);
  expect([await send(), taken]).toEqual(["finish", 2]);
  expect(arrived.length).toBeGreaterThan(8);
  sender.stop();
});

test("what a write has failed to put on the disk is not gone on from: the next stream brings the whole of it into another place", async () => {
  for (const failing of ["write", "finish"] as const) {
    const calls: string[] = [];
    const stage = async () => {
      const broken = !calls.includes("stage");
      calls.push("stage");
      const ended = (name: string) => async () => {
        if (broken && name === failing) throw new Error("EIO: i/o error");
      };
      return { write: ended("write"), finish: ended("finish"), commit: ended("commit"), discard: async () => void calls.push("discard") };
    };
    const receiver = new SnapshotReceiver({
      self: 2,
      store: { appliedIndex: 0, stage } as unknown as AppliedStore,
      clock: new ManualClock(),
      log: silentLog,
      wants: () => true,
      install: async () => void calls.push("install"),
    });
    const header = { kind: "content", message: MESSAGE, seal: SEAL, after: "" } as const;
    const chunks = () => new SnapshotWriter(stateOf(3, 10)).chunks();
    await expect(receiver.take(1, header, chunks())).rejects.toThrow("EIO");
    const wanted = await receiver.take(1, { kind: "offer", message: MESSAGE, seal: SEAL }, chunks());
    expect(decodeWanted(wanted)).toBe("");
    await receiver.take(1, header, chunks());
    expect(calls).toEqual(["stage", "discard", "stage", "install"]);
  }
});

test("how much of a snapshot was sent, and for how long, is told while it is on its way", async () => {
  const clock = new ManualClock();
  const rows = stateOf(100, 20_000);
  const held = { meta: META, seal: SEAL, get: (key: string) => rows.get(key), scan: rows.scan.bind(rows), close: async () => {} };
  const seen: number[] = [];
  const done = Promise.withResolvers<void>();
  let arrived = 0;
  const transport = {
    sendSnapshot: async (_to: number, header: Uint8Array, chunks: AsyncIterable<Uint8Array>) => {
      if (decodeHeader(header).kind === "offer") return encodeWanted("");
      for await (const chunk of chunks) {
        clock.advance(10);
        arrived += chunk.byteLength;
        seen.push(arrived);
        expect(sender.progress).toEqual([{ to: 2, sentBytes: arrived, tookMs: 10 * seen.length }]);
      }
      return new Uint8Array(0);
    },
  } as unknown as Transport;
  const store = { snapshot: async () => held } as unknown as AppliedStore;
  const sender = new SnapshotSender({ store, transport, clock, log: silentLog, report: () => done.resolve() });
  expect(sender.progress).toEqual([]);
  sender.send(MESSAGE);
  await done.promise;
  expect(seen.length).toBeGreaterThan(5);
  expect(sender.progress).toEqual([]);
});
