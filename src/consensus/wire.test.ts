import fc from "fast-check";
import { expect, test } from "vitest";
import { encode } from "../core/codec.ts";
import type { Message } from "../raft/types.ts";
import { FrameCutter, frame } from "./libp2p/frames.ts";
import type { PeerMessage } from "./transport.ts";
import { decodeFrame, decodePeerMessage, encodeFrame, encodePeerMessage } from "./wire.ts";

const n = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each));
const entryType = fc.constantFrom("normal", "confChange", "confChangeV2");
const proposed = fc.record({ type: entryType, data: fc.option(bytes, { nil: undefined }) });
const conf = fc.record({
  voters: fc.array(n),
  votersOutgoing: fc.array(n),
  learners: fc.array(n),
  learnersNext: fc.array(n),
  autoLeave: fc.boolean(),
});
const head = { from: n, to: n, term: n };
const append = fc
  .record({
    type: fc.constant("append"),
    ...head,
    prevIndex: fc.nat(),
    prevTerm: n,
    commit: n,
    entries: fc.array(fc.tuple(n, proposed), { maxLength: 5 }),
  })
  .map((message) => ({
    ...message,
    entries: message.entries.map(([term, entry], at) => ({ index: message.prevIndex + 1 + at, term, ...entry })),
  }));
const message = fc.oneof(
  append,
  fc.record({ type: fc.constant("propose"), ...head, entries: fc.array(proposed, { maxLength: 3 }) }),
  fc.record({ type: fc.constant("appendReply"), ...head, index: n, rejected: fc.boolean(), hintIndex: n, hintTerm: n }),
  fc.record({ type: fc.constantFrom("vote", "preVote"), ...head, lastIndex: n, lastTerm: n, transfer: fc.boolean() }),
  fc.record({ type: fc.constantFrom("voteReply", "preVoteReply"), ...head, rejected: fc.boolean() }),
  fc.record({
    type: fc.constantFrom("voteReply", "preVoteReply"),
    ...head,
    rejected: fc.constant(true),
    committed: fc.record({ index: n, term: n }),
  }),
  fc.record({ type: fc.constant("heartbeat"), ...head, commit: n, read: n }),
  fc.record({ type: fc.constant("heartbeatReply"), ...head, read: n }),
  fc.record({
    type: fc.constant("snapshot"),
    ...head,
    snapshot: fc.record({ meta: fc.record({ index: n, term: n, confState: conf }), data: bytes }),
  }),
  fc.record({ type: fc.constantFrom("transferLeader", "timeoutNow"), ...head }),
  fc.record({ type: fc.constant("readIndex"), ...head, context: bytes }),
  fc.record({ type: fc.constant("readIndexReply"), ...head, index: n, context: bytes }),
) as fc.Arbitrary<Message>;
const peerMessage: fc.Arbitrary<PeerMessage> = fc.oneof(
  message.map((each): PeerMessage => ({ kind: "raft", message: each })),
  bytes.map((envelope): PeerMessage => ({ kind: "proposal", envelope })),
  n.map((leader): PeerMessage => ({ kind: "notLeader", leader })),
  fc.record({ kind: fc.constant("proposalRefused"), envelope: bytes, reason: fc.string() }) as fc.Arbitrary<PeerMessage>,
  fc.record({ kind: fc.constant("seal"), index: n, seal: bytes }) as fc.Arbitrary<PeerMessage>,
  fc.constantFrom<PeerMessage>({ kind: "ping" }, { kind: "pong" }),
);

test("every message comes back as it was sent", () => {
  fc.assert(
    fc.property(peerMessage, (sent) => {
      expect(decodePeerMessage(encodePeerMessage(sent))).toEqual(sent);
    }),
    { numRuns: 500 },
  );
});

test("bytes that are no message are refused and crash nothing", () => {
  fc.assert(
    fc.property(peerMessage, fc.nat(), fc.nat(255), (sent, at, value) => {
      const altered = Buffer.from(encodePeerMessage(sent));
      altered[at % altered.byteLength] = value;
      try {
        decodePeerMessage(altered);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
    { numRuns: 500 },
  );
});

test("frames come back whole wherever the stream was cut", () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 8 });
  fc.assert(
    fc.property(bodies, fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(frame));
      const cutter = new FrameCutter(100);
      const received: Uint8Array[] = [];
      for (let at = 0, turn = 0; at < stream.byteLength; turn += 1) {
        const length = cuts[turn % cuts.length]!;
        received.push(...cutter.push(stream.subarray(at, at + length)));
        at += length;
      }
      expect(received.map((each) => Buffer.from(each).toString("hex"))).toEqual(sent.map((each) => Buffer.from(each).toString("hex")));
    }),
  );
});

test("a frame longer than is allowed is refused by its length alone", () => {
  expect(() => [...new FrameCutter(10).push(frame(new Uint8Array(11)).subarray(0, 4))]).toThrow(RangeError);
});

test("the messages of one frame come back in their order", () => {
  fc.assert(
    fc.property(fc.array(peerMessage, { maxLength: 6 }), (sent) => {
      expect(decodeFrame(encodeFrame(sent))).toEqual(sent);
    }),
  );
});

test("a frame that was altered anywhere, or random bytes, is refused by an Error or read as messages that can be sent again", () => {
  const altered = fc.tuple(
    fc.array(peerMessage, { minLength: 1, maxLength: 4 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
    fc.nat(8),
  );
  const read = (frameBytes: Uint8Array): void => {
    let messages: PeerMessage[];
    try {
      messages = decodeFrame(frameBytes);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
      return;
    }
    expect(decodeFrame(encodeFrame(messages))).toEqual(messages);
  };
  fc.assert(
    fc.property(altered, ([sent, changes, cut]) => {
      const frameBytes = Buffer.from(encodeFrame(sent));
      for (const [at, byte] of changes) frameBytes[at % frameBytes.length] = byte;
      read(frameBytes.subarray(0, frameBytes.length - (cut % frameBytes.length)));
    }),
    { numRuns: 5_000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), read), { numRuns: 5_000 });
});

test("an entry of an unknown type is refused", () => {
  const bytes = (type: number): Uint8Array => encode([[16 + 1, 2, 1, 3, 7, 2, 1, [3, type, null]]]);
  expect(decodeFrame(bytes(0))).toMatchObject([{ message: { type: "append", entries: [{ index: 8, term: 3, type: "normal" }] } }]);
  expect(() => decodeFrame(bytes(3))).toThrow(TypeError);
});
