import { expect, test } from "vitest";
import { encode } from "../../core/codec.ts";
import { silentLog } from "../../core/log.ts";
import type { PeerId, RaftId } from "../../core/peer.ts";
import { seededRandom } from "../../core/random.ts";
import { ManualClock } from "../manual-clock.ts";
import type { Boot, PeerMessage } from "../transport.ts";
import { decodeFrame, encodeFrame } from "../wire.ts";
import { freshCounters } from "./counters.ts";
import { FakeStream } from "./fake-stream.ts";
import { frame } from "./frames.ts";
import { clusterHash, encodeHello, HELLO_BYTES_MAX } from "./hello.ts";
import { Inbound } from "./inbound.ts";
import { Libp2pTransport } from "./transport.ts";

const BOOT: Boot = { incarnation: 3, nonce: "ab".repeat(8), earlier: [], term: 1, lastIndex: 2 };
const CLUSTER = clusterHash("test");
const HELLO = frame(encodeHello({ cluster: CLUSTER, from: 2, to: 1, boot: BOOT }));
const PING: PeerMessage = { kind: "ping" };

function accepted(...said: Uint8Array[]) {
  const clock = new ManualClock();
  const fake = new FakeStream();
  const counters = freshCounters();
  const received: PeerMessage[] = [];
  new Inbound({
    stream: fake.stream,
    from: 2,
    self: 1,
    cluster: CLUSTER,
    handler: {
      receive: (_from, _boot, messages) => {
        received.push(...messages);
        return undefined;
      },
      refused() {},
      receiveSnapshot: async () => new Uint8Array(0),
      unreachable() {},
    },
    counters,
    clock,
    log: silentLog,
    accepted() {},
    heard() {},
  });
  for (const bytes of said) fake.say(bytes);
  return { fake, counters, received, clock };
}

const tooLong = (): Uint8Array => {
  const bytes = Buffer.from(frame(new Uint8Array(8)));
  bytes.writeUInt32BE(2 ** 31, 0);
  return bytes;
};

test.each([
  ["too long", tooLong()],
  ["of an unknown kind", frame(encode([[9]]))],
  ["of an unknown Raft message", frame(encode([[16 + 40, 2, 1, 1]]))],
  ["of no messages at all", frame(encode("text"))],
  ["cut off within", frame(encodeFrame([PING]).subarray(1))],
])("a frame %s ends its stream and is counted; what came before it is taken", (_what, bad) => {
  const { fake, counters, received } = accepted(Buffer.concat([HELLO, frame(encodeFrame([PING, { kind: "pong" }])), bad]));
  expect(received).toEqual([PING, { kind: "pong" }]);
  expect(fake.aborted).toBeDefined();
  expect(counters).toEqual({ ...freshCounters(), malformed: 1 });
  fake.say(frame(encodeFrame([PING])));
  expect(received).toHaveLength(2);
});

test("a stream that ends within a frame is counted, one that ends after one is not", () => {
  const whole = accepted(HELLO, frame(encodeFrame([PING])));
  whole.fake.end();
  expect([whole.counters.malformed, whole.fake.aborted]).toEqual([0, undefined]);
  const torn = accepted(HELLO, frame(encodeFrame([PING])).subarray(0, 5));
  torn.fake.end();
  expect(torn.counters.malformed).toBe(1);
});

test("a stream without a hello, or with one that is none, is given up", () => {
  const silent = accepted();
  silent.clock.advance(5_000);
  expect(silent.counters.malformed).toBe(1);
  expect(accepted(frame(encodeFrame([PING]))).counters.malformed).toBe(1);
  for (const other of [{ from: 3 }, { to: 2 }, { cluster: clusterHash("another") }]) {
    const { counters, fake } = accepted(
      frame(encodeHello({ cluster: CLUSTER, from: 2, to: 1, boot: BOOT, ...other })),
      frame(encodeFrame([PING])),
    );
    expect([counters.misdirected, fake.status]).toEqual([1, "aborted"]);
  }
});

test("the first frame of a stream is a hello and has its size; what follows may be long", () => {
  const beyond = Buffer.alloc(4);
  beyond.writeUInt32BE(HELLO_BYTES_MAX + 1, 0);
  expect(accepted(beyond).fake.aborted?.message).toContain(`a frame of ${HELLO_BYTES_MAX + 1} bytes`);
  expect(accepted(Buffer.concat([HELLO, beyond])).fake.aborted).toBeUndefined();
});

/** Thousands of streams, each a good one with bytes changed, left out or put in, cut into random pieces. */
test("whatever a member sends, nothing is thrown, and only whole messages arrive", () => {
  const random = seededRandom(20_26);
  const pick = (below: number): number => Math.floor(random.float() * below);
  const messages: PeerMessage[] = [
    PING,
    { kind: "proposal", envelope: Buffer.alloc(40, 7) },
    { kind: "raft", message: { type: "heartbeat", from: 2, to: 1, term: 3, commit: 1, read: 7 } },
    {
      kind: "raft",
      message: {
        type: "append",
        from: 2,
        to: 1,
        term: 3,
        prevIndex: 1,
        prevTerm: 2,
        commit: 1,
        entries: [{ index: 2, term: 3, type: "normal", data: Buffer.alloc(30, 1) }],
      },
    },
  ];
  let ended = 0;
  for (let round = 0; round < 4_000; round += 1) {
    const body = Array.from({ length: 1 + pick(4) }, () => frame(encodeFrame([messages[pick(4)]!, messages[pick(4)]!])));
    let bytes = Buffer.concat(round % 4 === 0 ? body : [HELLO, ...body]);
    for (let change = 0; change < 1 + pick(3); change += 1) {
      const at = pick(bytes.length);
      const put = pick(3) === 0 ? Buffer.from(random.bytes(1 + pick(6))) : Buffer.alloc(0);
      bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + pick(4))]);
    }
    const { fake, counters, received } = accepted();
    for (let at = 0; at < bytes.length; ) {
      const next = at + 1 + pick(60);
      fake.say(bytes.subarray(at, next));
      at = next;
    }
    fake.end();
    expect(decodeFrame(encodeFrame(received))).toEqual(received);
    if (fake.aborted !== undefined) ended += 1;
    expect(counters.malformed + counters.misdirected).toBe(fake.aborted === undefined ? 0 : 1);
  }
  expect(ended).toBeGreaterThan(2_000);
});

test("a peer that does not read costs itself alone: its queue is bounded, the other gets all, one frame a turn", async () => {
  const streams = new Map<string, FakeStream>([
    ["slow", new FakeStream()],
    ["quick", new FakeStream()],
  ]);
  const lost: RaftId[] = [];
  const peers = new Map<RaftId, PeerId>([
    [2, "slow" as PeerId],
    [3, "quick" as PeerId],
  ]);
  const transport = new Libp2pTransport({
    host: { dial: async (peer) => streams.get(peer)!.stream, handle: async () => undefined },
    clusterId: "test",
    self: 1,
    peerOf: (id) => peers.get(id),
    raftIdOf: () => undefined,
    clock: new ManualClock(),
    log: silentLog,
  });
  const handler = {
    receive: () => undefined,
    refused() {},
    receiveSnapshot: async () => new Uint8Array(0),
    unreachable: (to: RaftId) => lost.push(to),
  };
  await transport.start(handler, BOOT);
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  for (const to of [2, 3]) transport.send(to, [PING]);
  await turn();
  const [slow, quick] = [streams.get("slow")!, streams.get("quick")!];
  slow.writableNeedsDrain = true;
  const [before, slowBefore] = [quick.frames.length, slow.frames.length];
  const proposal: PeerMessage = { kind: "proposal", envelope: Buffer.alloc(64 * 1024) };
  for (let round = 0; round < 400; round += 1) {
    for (const to of [2, 3]) {
      transport.send(to, [proposal]);
      transport.send(to, [PING]);
    }
    await turn();
  }
  expect(quick.frames.slice(before).map((bytes) => decodeFrame(bytes).map(({ kind }) => kind))).toEqual(
    Array(400).fill(["ping", "proposal"]),
  );
  expect(slow.frames).toHaveLength(slowBefore);
  expect(new Set(lost)).toEqual(new Set([2]));
  // 25 MiB were said, 16 MiB are kept at most.
  expect(transport.counters.dropped).toBeGreaterThan(100);
  slow.writableNeedsDrain = false;
  slow.dispatchEvent(new Event("drain"));
  await turn();
  const kept = slow.frames.slice(slowBefore).reduce((sum, bytes) => sum + bytes.byteLength, 0);
  expect(kept).toBeGreaterThan(8 * 2 ** 20);
  expect(kept).toBeLessThanOrEqual(16 * 2 ** 20);
  await transport.close();
});
