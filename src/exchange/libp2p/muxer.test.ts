import { generateKeyPair } from "@libp2p/crypto/keys";
import { StreamStateError } from "@libp2p/interface";
import { tcp } from "@libp2p/tcp";
import { tls } from "@libp2p/tls";
import { createLibp2p } from "libp2p";
import { expect, test } from "vitest";
import { createMuxer, spareUpdates, type Yamux } from "./muxer.ts";

const [DATA, UPDATE] = [0, 1];
const [SYN, FIN] = [1, 4];

function spared() {
  const sent: string[] = [];
  const muxer: Required<Yamux> = {
    getRTT: () => 0,
    sendFrame: ({ type, flag, streamID, length }) => {
      sent.push(`${type} ${flag} ${streamID} ${length}`);
      return false;
    },
    closeStream: (id) => sent.push(`closed ${id}`),
  };
  spareUpdates(muxer);
  const send = (type: number, flag: number, streamID: number, length: number): boolean => muxer.sendFrame({ type, flag, streamID, length });
  return { muxer, sent, send };
}

test("what was taken of short messages is told once it is a quarter of the window, of each stream for itself, and none of it is forgotten", () => {
  const { sent, send } = spared();
  expect(send(DATA, 0, 1, 10)).toBe(false);
  for (let at = 0; at < 3; at += 1) expect(send(UPDATE, 0, 1, 20_000)).toBe(true);
  send(UPDATE, 0, 2, 30_000);
  expect(sent).toEqual(["0 0 1 10"]);
  send(UPDATE, 0, 1, 20_000);
  send(UPDATE, 0, 1, 7);
  send(UPDATE, 0, 2, 200_000);
  expect(sent.slice(1)).toEqual(["1 0 1 80000", "1 0 2 230000"]);
});

test("a stream that begins or ends says so at once, with what was not told, and one that has ended leaves nothing", () => {
  const { muxer, sent, send } = spared();
  send(UPDATE, SYN, 1, 0);
  send(UPDATE, 0, 1, 500);
  send(UPDATE, FIN, 1, 0);
  send(UPDATE, 0, 1, 600);
  muxer.closeStream(1);
  send(UPDATE, FIN, 1, 0);
  expect(sent).toEqual(["1 1 1 0", "1 4 1 500", "closed 1", "1 4 1 0"]);
});

test("a muxer that is made otherwise is left as it is", () => {
  const muxer: Yamux = {};
  spareUpdates(muxer);
  expect(muxer).toEqual({});
});

test("a connection that closes in the turn in which a stream begins on it fails that stream, and not the process", async () => {
  const uncaught: unknown[] = [];
  const hear = (error: unknown): void => void uncaught.push(error);
  process.on("uncaughtException", hear);
  const start = async (listen: string[]) =>
    createLibp2p({
      privateKey: await generateKeyPair("Ed25519"),
      addresses: { listen },
      transports: [tcp()],
      connectionEncrypters: [tls()],
      streamMuxers: [createMuxer()],
    });
  const [listener, dialler] = await Promise.all([start(["/ip4/127.0.0.1/tcp/0"]), start([])]);
  try {
    await listener.handle("/test/1", () => {});
    const connection = await dialler.dial(listener.getMultiaddrs()[0]!);
    const stream = connection.newStream("/test/1");
    connection.abort(new Error("the cable was cut"));
    await expect(stream).rejects.toThrow(StreamStateError);
    expect(uncaught).toEqual([]);
  } finally {
    await Promise.all([listener.stop(), dialler.stop()]);
    process.off("uncaughtException", hear);
  }
});

test("a stream that begins as its connection closes ends nothing but itself: what yamux says of it a microtask later is not thrown", () => {
  const { muxer, send } = spared();
  let failure: Error = new StreamStateError("Cannot write to a stream that is closed");
  const closed: Required<Yamux> = {
    ...muxer,
    sendFrame: () => {
      throw failure;
    },
  };
  spareUpdates(closed);
  expect(closed.sendFrame({ type: UPDATE, flag: SYN, streamID: 1, length: 0 })).toBe(true);
  expect(() => closed.sendFrame({ type: DATA, flag: 0, streamID: 1, length: 1 }), "who writes data hears of it").toThrow(failure);
  failure = new RangeError("another bug");
  expect(() => closed.sendFrame({ type: UPDATE, flag: SYN, streamID: 1, length: 0 })).toThrow(failure);
  expect(send(UPDATE, SYN, 1, 0)).toBe(false);
});
