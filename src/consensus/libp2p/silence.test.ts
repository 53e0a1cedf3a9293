import type { Stream } from "@libp2p/interface";
import { expect, test } from "vitest";
import { silentLog } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { ManualClock } from "../manual-clock.ts";
import type { Boot } from "../transport.ts";
import { encodeFrame } from "../wire.ts";
import { FakeStream } from "./fake-stream.ts";
import { frame } from "./frames.ts";
import { clusterHash, encodeHello } from "./hello.ts";
import { Libp2pTransport } from "./transport.ts";

/** A stream that takes everything and answers nothing, as one does while the packets are dropped. */
class SilentStream extends EventTarget {
  status = "open";
  writableNeedsDrain = false;
  send(): boolean {
    return true;
  }
  abort(): void {
    this.status = "aborted";
    this.dispatchEvent(new Event("close"));
  }
}

test("a connection over which nothing is answered is given up, and the next message opens another", async () => {
  const clock = new ManualClock();
  const peer = "peer" as PeerId;
  let dials = 0;
  const aborted: string[] = [];
  const accept = new Map<string, (stream: Stream, from: PeerId) => Promise<void>>();
  const transport = new Libp2pTransport({
    host: {
      dial: async () => {
        dials += 1;
        return new SilentStream() as unknown as Stream;
      },
      handle: async (protocol, handler) => {
        accept.set(protocol, handler);
      },
      connection: (of) => ({ abort: ({ message }) => aborted.push(`${of}: ${message}`) }),
    },
    clusterId: "test",
    self: 1,
    peerOf: () => peer,
    raftIdOf: () => 2,
    clock,
    log: silentLog,
  });
  await transport.start(
    { receive: () => undefined, refused() {}, receiveSnapshot: async () => new Uint8Array(0), unreachable() {} },
    { incarnation: 1, nonce: "0".repeat(16), earlier: [], term: 0, lastIndex: 0 },
  );
  const say = async (times: number): Promise<void> => {
    for (let at = 0; at < times; at += 1) {
      transport.send(2, [{ kind: "ping" }]);
      await new Promise<void>((resolve) => setImmediate(resolve));
      clock.advance(500);
    }
  };
  await say(10);
  expect([dials, aborted]).toEqual([1, []]);
  await say(4);
  expect(aborted).toEqual(["peer: the peer has been silent for too long"]);
  expect(dials).toBe(2);
  await transport.close();
});

test("a stream to an earlier process of a peer is given up once the new one speaks, which would hide that nothing is taken any more", async () => {
  const bootOf = (digit: string): Boot => ({ incarnation: 1, nonce: digit.repeat(16), earlier: [], term: 0, lastIndex: 0 });
  const peer = "peer" as PeerId;
  const dialled: FakeStream[] = [];
  const accept: ((stream: Stream, from: PeerId) => Promise<void>)[] = [];
  const transport = new Libp2pTransport({
    host: {
      dial: async () => {
        const stream = new FakeStream();
        // What the process that is gone has not taken has filled its window.
        stream.writableNeedsDrain = dialled.length === 0;
        dialled.push(stream);
        return stream.stream;
      },
      handle: async (_protocol, handler) => {
        accept.push(handler);
      },
    },
    clusterId: "test",
    self: 1,
    peerOf: () => peer,
    raftIdOf: () => 2,
    clock: new ManualClock(),
    log: silentLog,
  });
  await transport.start(
    { receive: () => undefined, refused() {}, receiveSnapshot: async () => new Uint8Array(0), unreachable() {} },
    bootOf("0"),
  );
  const speaksAs = (digit: string): void => {
    const inbound = new FakeStream();
    void accept[0]?.(inbound.stream, peer);
    inbound.say(frame(encodeHello({ cluster: clusterHash("test"), from: 2, to: 1, boot: bootOf(digit) })));
    inbound.say(frame(encodeFrame([{ kind: "ping" }])));
  };
  const answer = async (): Promise<void> => {
    transport.send(2, [{ kind: "pong" }]);
    await new Promise<void>((resolve) => setImmediate(resolve));
  };
  await answer();
  // Its first word, and another stream of the same start, say nothing about the one to it.
  for (const digit of ["a", "a"]) {
    speaksAs(digit);
    await answer();
    expect(dialled.map(({ status }) => status)).toEqual(["open"]);
  }
  speaksAs("b");
  await answer();
  expect(dialled.map(({ status }) => status)).toEqual(["aborted", "open"]);
  // The hello, and what was said.
  expect(dialled[1]?.frames).toHaveLength(2);
  await transport.close();
});
