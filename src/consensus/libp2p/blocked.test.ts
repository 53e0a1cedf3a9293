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

const BOOT: Boot = { incarnation: 1, nonce: "a".repeat(16), earlier: [], term: 0, lastIndex: 0 };
const PING = frame(encodeFrame([{ kind: "ping" }]));

/** 30 s with a peer that is heard all the while and whose stream takes nothing, or a little each ten seconds. */
async function talk(drains: boolean): Promise<{ dialled: readonly FakeStream[]; aborted: readonly string[] }> {
  const clock = new ManualClock();
  const dialled: FakeStream[] = [];
  const aborted: string[] = [];
  const accept: ((stream: Stream, from: PeerId) => Promise<void>)[] = [];
  const transport = new Libp2pTransport({
    host: {
      dial: async () => {
        const fake = new FakeStream();
        dialled.push(fake);
        return fake.stream;
      },
      handle: async (_protocol, handler) => void accept.push(handler),
      connection: () => ({ abort: ({ message }) => void aborted.push(message) }),
    },
    clusterId: "test",
    self: 1,
    peerOf: () => "peer" as PeerId,
    raftIdOf: () => 2,
    clock,
    log: silentLog,
  });
  const handler = { receive: () => undefined, refused() {}, receiveSnapshot: async () => new Uint8Array(0), unreachable() {} };
  await transport.start(handler, BOOT);
  const inbound = new FakeStream();
  void accept[0]?.(inbound.stream, "peer" as PeerId);
  inbound.say(frame(encodeHello({ cluster: clusterHash("test"), from: 2, to: 1, boot: BOOT })));
  for (let second = 0; second < 30; second += 1) {
    transport.send(2, [{ kind: "pong" }]);
    await new Promise<void>((resolve) => setImmediate(resolve));
    const [first] = dialled;
    if (first === undefined) throw new Error("nothing was dialled");
    if (drains && second % 10 === 9) {
      first.writableNeedsDrain = false;
      first.dispatchEvent(new Event("drain"));
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    first.writableNeedsDrain = true;
    inbound.say(PING);
    clock.advance(1_000);
  }
  await transport.close();
  return { dialled, aborted };
}

test("a stream that takes nothing is given up, though the peer is heard; one that takes a little is not", async () => {
  const dead = await talk(false);
  expect([dead.aborted, dead.dialled.length]).toEqual([["the peer has taken nothing for too long"], 2]);
  const slow = await talk(true);
  expect([slow.aborted, slow.dialled.length]).toEqual([[], 1]);
});
