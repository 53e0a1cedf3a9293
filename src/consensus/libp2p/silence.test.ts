import type { Stream } from "@libp2p/interface";
import { expect, test } from "vitest";
import { silentLog } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { ManualClock } from "../manual-clock.ts";
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
