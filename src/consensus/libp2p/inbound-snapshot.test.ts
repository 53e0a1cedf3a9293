import { expect, test } from "vitest";
import { decode, encode } from "../../core/codec.ts";
import { silentLog } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { seededRandom } from "../../core/random.ts";
import { MemoryStore } from "../../metadata/memory-store.ts";
import { SnapshotWriter } from "../../metadata/snapshot.ts";
import type { Change } from "../../metadata/view.ts";
import type { SnapshotMessage } from "../../raft/types.ts";
import { refusalError } from "../incarnations.ts";
import { ManualClock } from "../manual-clock.ts";
import { decodeHeader, encodeHeader } from "../snapshot-header.ts";
import { SnapshotReceiver } from "../snapshot-receiver.ts";
import type { AppliedStore } from "../store.ts";
import type { Boot, TransportHandler } from "../transport.ts";
import { freshCounters, type TransportCounters } from "./counters.ts";
import { FakeStream } from "./fake-stream.ts";
import { frame } from "./frames.ts";
import { clusterHash, encodeHello, HELLO_BYTES_MAX } from "./hello.ts";
import { takeSnapshotStream } from "./inbound-snapshot.ts";
import { Libp2pTransport } from "./transport.ts";

const BOOT: Boot = { incarnation: 3, nonce: "ab".repeat(8), earlier: [], term: 1, lastIndex: 2 };
const CLUSTER = clusterHash("test");
const NO_CONF = { voters: [1, 2], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const META = { index: 9, term: 2, confState: NO_CONF };
const MESSAGE: SnapshotMessage = { type: "snapshot", from: 2, to: 1, term: 2, snapshot: { meta: META, data: new Uint8Array(0) } };
const HELLO = frame(encodeHello({ cluster: CLUSTER, from: 2, to: 1, boot: BOOT }));
const HEADER = frame(encodeHeader({ kind: "content", message: MESSAGE, seal: new Uint8Array(32), after: "" }));
const END = frame(new Uint8Array(0));
const ROWS = Array.from({ length: 40 }, (_, at) => [`k/${String(at).padStart(3, "0")}`, Buffer.alloc(20, at)] as const);

async function contentFrames(): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  for await (const chunk of new SnapshotWriter(new MemoryStore(ROWS)).chunks()) frames.push(Buffer.from(frame(chunk)));
  return frames;
}
const CONTENT = await contentFrames();

/** What a receiver makes of a stream: the rows that it installed, if any. */
function receiver(): { readonly handler: Pick<TransportHandler, "receiveSnapshot">; readonly installed: () => MemoryStore | undefined } {
  let installed: MemoryStore | undefined;
  const stage = async () => {
    const rows = new MemoryStore();
    return {
      write: async (changes: readonly Change[]) => rows.write(changes),
      finish: async () => {},
      commit: async () => {
        installed = rows;
      },
      discard: async () => {},
    };
  };
  const store = { appliedIndex: 0, stage } as unknown as AppliedStore;
  const taker = new SnapshotReceiver({
    self: 1,
    store,
    clock: new ManualClock(),
    log: silentLog,
    wants: () => true,
    install: (staging) => staging.commit(),
  });
  return {
    handler: {
      receiveSnapshot: async (from, _boot, bytes, chunks) => {
        const header = decodeHeader(bytes);
        return header.kind === "request" ? new Uint8Array(0) : taker.take(from, header, chunks);
      },
    },
    installed: () => installed,
  };
}

function begin(handler: Pick<TransportHandler, "receiveSnapshot"> = receiver().handler) {
  const fake = new FakeStream();
  const counters: TransportCounters = freshCounters();
  const clock = new ManualClock();
  const done = takeSnapshotStream({ stream: fake.stream, from: 2, self: 1, cluster: CLUSTER, handler, counters, clock, log: silentLog });
  return { fake, counters, clock, done, answer: () => decode(fake.frames[0] ?? encode("none")) };
}

const altered = (bytes: Uint8Array): Uint8Array => {
  const copy = Buffer.from(bytes);
  copy[copy.length - 1]! ^= 1;
  return copy;
};
const tooLong = Buffer.from([0x7f, 0, 0, 0, 1]);

test.each([
  ["whose first frame is too long", [tooLong]],
  ["whose first frame is no hello", [frame(encode("text"))]],
  ["whose hello has a number that is none", [frame(encode([CLUSTER, 2, 1, -1, BOOT.nonce, 1, 2, []]))]],
  ["whose second frame is no header", [HELLO, frame(encode([7, 1, 2, 3]))]],
  ["whose header names no configuration", [HELLO, frame(encode([1, 2, 1, 2, new Uint8Array(32), "", 9, 2, null, new Uint8Array(0)]))]],
  ["whose content is altered", [HELLO, HEADER, altered(CONTENT[1]!)]],
  ["whose chunk is too long", [HELLO, HEADER, tooLong]],
  ["that ends within a frame", [HELLO, HEADER, CONTENT[0]!.subarray(0, 9)]],
])("a stream of the snapshot protocol %s is ended and counted", async (_what, said) => {
  const { fake, counters, done } = begin();
  for (const bytes of said) fake.say(bytes);
  fake.end();
  await done;
  expect(counters).toEqual({ ...freshCounters(), malformed: 1 });
  expect(fake.status).not.toBe("open");
});

test("the first frame of a stream of the snapshot protocol is no longer than a hello may be: nothing of it is waited for", async () => {
  const { fake, counters, done } = begin();
  const beyond = Buffer.alloc(4);
  beyond.writeUInt32BE(HELLO_BYTES_MAX + 1, 0);
  fake.say(beyond);
  await done;
  expect([counters.malformed, fake.aborted?.message]).toEqual([1, expect.stringContaining(`a frame of ${HELLO_BYTES_MAX + 1} bytes`)]);
});

test("a snapshot of another cluster or node, or of a start that is not the newest, is refused, counted as such, and told why", async () => {
  for (const other of [{ from: 3 }, { to: 2 }, { cluster: clusterHash("another") }]) {
    const { fake, counters, done, answer } = begin();
    fake.say(frame(encodeHello({ cluster: CLUSTER, from: 2, to: 1, boot: BOOT, ...other })));
    fake.end();
    await done;
    expect([counters, answer()]).toEqual([{ ...freshCounters(), misdirected: 1 }, expect.stringContaining("another cluster")]);
  }
  const { fake, counters, done, answer } = begin({
    receiveSnapshot: () => Promise.reject(refusalError(2, { reason: "passed", incarnation: 3, nonce: BOOT.nonce })),
  });
  for (const bytes of [HELLO, HEADER]) fake.say(bytes);
  fake.end();
  await done;
  expect([counters, answer()]).toEqual([{ ...freshCounters(), outdated: 1 }, [expect.stringContaining("a later start of the node")]]);
});

test("a stream that was cut between two frames is no fault of its sender", async () => {
  const { fake, counters, done } = begin();
  for (const bytes of [HELLO, HEADER, CONTENT[0]!]) fake.say(bytes);
  fake.end();
  await done;
  expect(counters).toEqual(freshCounters());
});

test("a stream on which nothing is said is given up, before the hello, before the header and within the content", async () => {
  for (const said of [[], [HELLO], [HELLO, HEADER], [HELLO, HEADER, CONTENT[0]!]]) {
    const { fake, clock, done } = begin();
    for (const bytes of said) fake.say(bytes);
    let over = false;
    void done.then(() => {
      over = true;
    });
    for (let turn = 0; turn < 20 && !over; turn += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      clock.advance(5_000);
    }
    expect([over, fake.status]).toEqual([true, "aborted"]);
  }
});

test("a sender that does not close its stream after the answer has it closed", async () => {
  const { fake, clock, done } = begin();
  for (const bytes of [HELLO, HEADER, ...CONTENT, END]) fake.say(bytes);
  await done;
  expect(fake.status).toBe("open");
  clock.advance(5_000);
  expect(fake.status).toBe("aborted");
});

/** Thousands of streams, each a good one with bytes changed, left out or put in, cut into random pieces. */
test("whatever a member says on a stream of a snapshot, nothing is thrown, and what is installed is what was sent", async () => {
  const random = seededRandom(77);
  const pick = (below: number): number => Math.floor(random.float() * below);
  const whole = new MemoryStore(ROWS).entries();
  let installs = 0;
  let refused = 0;
  for (let round = 0; round < 1_500; round += 1) {
    let bytes: Buffer = Buffer.concat([HELLO, HEADER, ...CONTENT, END]);
    for (let change = 0; change < pick(3); change += 1) {
      // The head is short beside the content: half of the changes are there.
      const at = pick(pick(2) === 0 ? HELLO.byteLength + HEADER.byteLength : bytes.length);
      const put = pick(2) === 0 ? Buffer.from(random.bytes(1 + pick(6))) : Buffer.alloc(0);
      bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + pick(4))]);
    }
    const { handler, installed } = receiver();
    const { fake, counters, done } = begin(handler);
    for (let at = 0; at < bytes.length; ) {
      const next = at + 1 + pick(400);
      fake.say(bytes.subarray(at, next));
      at = next;
    }
    fake.end();
    await done;
    const rows = installed()?.entries();
    if (rows === undefined) refused += 1;
    else {
      installs += 1;
      expect(rows.map(([key, value]) => [key, Buffer.from(value)])).toEqual(whole);
    }
    expect(counters.malformed + counters.misdirected).toBeLessThanOrEqual(1);
    expect(fake.status).not.toBe("open");
  }
  expect([installs > 300, refused > 500]).toEqual([true, true]);
});

/** A transport whose next streams are the test's. */
async function sender() {
  const opened: FakeStream[] = [];
  const refusals: unknown[] = [];
  const transport = new Libp2pTransport({
    host: {
      dial: async () => {
        const fake = new FakeStream();
        opened.push(fake);
        return fake.stream;
      },
      handle: async () => undefined,
    },
    clusterId: "test",
    self: 1,
    peerOf: () => "peer" as PeerId,
    raftIdOf: () => 2,
    clock: new ManualClock(),
    log: silentLog,
  });
  await transport.start(
    {
      receive: () => undefined,
      refused: (_by, refusal) => void refusals.push(refusal),
      receiveSnapshot: async () => new Uint8Array(0),
      unreachable() {},
    },
    BOOT,
  );
  return { transport, opened, refusals };
}

async function* nothing(): AsyncIterable<Uint8Array> {}
const turn = (): Promise<void> => new Promise<void>((resolve) => setImmediate(resolve));

test("an answer to a snapshot that is none fails the sending, closes its stream and is counted", async () => {
  const random = seededRandom(4);
  const answers = [
    tooLong,
    frame(encode([1])).subarray(0, 5),
    frame(Uint8Array.of(0xc1)),
    ...Array.from({ length: 100 }, () => frame(random.bytes(7))),
  ];
  const { transport, opened } = await sender();
  for (const bytes of answers) {
    const sending = transport.sendSnapshot(2, new Uint8Array(3), nothing(), new AbortController().signal);
    const failed = expect(sending).rejects.toMatchObject({ name: "ConsensusError" });
    await turn();
    const fake = opened.at(-1)!;
    fake.say(bytes);
    fake.end();
    await failed;
    expect(fake.status).not.toBe("open");
  }
  expect(transport.counters.malformed).toBeGreaterThanOrEqual(3);
  await transport.close();
});

test("who takes nothing of this start says so, and it is not taken for a stream that failed", async () => {
  const { transport, opened } = await sender();
  for (const [answer, code] of [
    [["too old."], "outdated"],
    ["not now.", "transfer"],
  ] as const) {
    const sending = transport.sendSnapshot(2, new Uint8Array(3), nothing(), new AbortController().signal);
    const failed = expect(sending).rejects.toMatchObject({ code, message: expect.stringMatching(/installed: (too old|not now)\.$/) });
    await turn();
    opened.at(-1)!.say(frame(encode(answer)));
    await failed;
  }
  await transport.close();
});

test("what a peer says against the direction of a stream is a refusal, or ends the stream and is counted", async () => {
  const random = seededRandom(5);
  const { transport, opened, refusals } = await sender();
  const answers = [
    Buffer.alloc(300, 1),
    frame(encode([0])),
    frame(encode([99, 1, "n"])),
    ...Array.from({ length: 100 }, () => frame(random.bytes(5))),
  ];
  for (const bytes of answers) {
    transport.send(2, [{ kind: "ping" }]);
    await turn();
    opened.at(-1)!.say(bytes);
    expect(opened.at(-1)!.status).toBe("aborted");
  }
  expect([transport.counters.malformed, refusals]).toEqual([answers.length, []]);
  await transport.close();
});
