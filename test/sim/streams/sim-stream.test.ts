import { expect, test } from "vitest";
import { FrameStream } from "../../../src/consensus/libp2p/frames.ts";
import type { Random } from "../../../src/core/random.ts";
import type { Owner } from "../event-heap.ts";
import { World } from "../world.ts";
import { SimConnection } from "./sim-connection.ts";
import type { Carrier, SimStream } from "./sim-stream.ts";

interface Scene {
  readonly world: World;
  readonly near: SimStream;
  readonly far: SimStream;
  readonly connection: SimConnection;
  readonly ends: readonly [{ alive: boolean }, { alive: boolean }];
}

function sceneOf(seed: number, windowBytes: number): Scene {
  const world = new World(seed);
  const random: Random = world.fork(1);
  const endOf = (id: number): Owner & { alive: boolean } => ({ id, alive: true, pausedUntil: 0, backlogMs: 0 });
  const ends = [endOf(1), endOf(2)] as const;
  const carrier: Carrier = {
    carry: (_from, to, run) => void world.after(random.float() * 10, "message", to, run),
    dice: () => random.float(),
    arrived: () => undefined,
    windowBytes,
  };
  const connection = new SimConnection({ carrier, ends, breaks: () => false });
  const [near, far] = connection.open(ends[0]);
  return { world, near, far, connection, ends };
}

const bodiesOf = (count: number): Uint8Array[] => Array.from({ length: count }, (_, at) => new Uint8Array(at * 7).fill(at));

test("what is written by frames is read by frames, however the bytes are cut and joined and whoever has to wait", async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const { world, near, far } = sceneOf(seed, 300);
    const [writer, reader] = [new FrameStream(near.stream, 2 ** 20), new FrameStream(far.stream, 2 ** 20)];
    const read: Uint8Array[] = [];
    let ended = false;
    const write = async (): Promise<void> => {
      for (const body of bodiesOf(30)) await writer.write(body);
      await writer.close();
    };
    const readAll = async (): Promise<void> => {
      for (let body = await reader.read(); body !== undefined; body = await reader.read()) read.push(body);
      ended = true;
    };
    void write();
    void readAll();
    await world.run(() => ended);
    expect(read.map((body) => [...body])).toEqual(bodiesOf(30).map((body) => [...body]));
  }
});

test("a stream that is aborted is reset at the other end, and says no more", async () => {
  const { world, near, far } = sceneOf(3, 2 ** 20);
  const seen: string[] = [];
  far.addEventListener("close", () => seen.push(far.status));
  near.send(new Uint8Array(100));
  near.abort(new Error("enough"));
  await world.run(() => false);
  expect([near.status, seen]).toEqual(["aborted", ["reset"]]);
  expect(() => near.send(new Uint8Array(1))).toThrow("aborted");
});

test("an end whose process is gone is noticed at the latest by what is said to it", async () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const { world, near, connection, ends } = sceneOf(seed, 2 ** 20);
    ends[1].alive = false;
    near.send(new Uint8Array(10));
    await world.run(() => false);
    expect([near.status, connection.whole]).toEqual(["reset", false]);
  }
});

test("a connection that breaks ends its streams at both ends, with what was under way", async () => {
  const { world, near, far, connection } = sceneOf(5, 2 ** 20);
  near.send(new Uint8Array(10_000));
  connection.break();
  await world.run(() => false);
  expect([near.status, far.status]).toEqual(["reset", "reset"]);
});
