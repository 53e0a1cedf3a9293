import { createServer, type Server } from "node:net";
import { generateKeyPair } from "@libp2p/crypto/keys";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { afterEach, beforeEach, expect, test } from "vitest";
import { collect, sampleBytes } from "../../blobs/sample-bytes.ts";
import type { PeerId } from "../../core/peer.ts";
import type { Wanted } from "../exchange.ts";
import { ManualClock, settle } from "../manual-clock.conformance.ts";
import { TestBlobs } from "../test-blobs.conformance.ts";
import { Channel } from "./channel.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Libp2pExchange } from "./libp2p-exchange.ts";
import { BLOB_PROTOCOL, REQUEST_SIZE_MAX } from "./wire.ts";

/** What a dead or hung peer costs a pull, over real connections and by the clock of the test: less than a second. */
const FAILED_MS = 20_000;
const never = new AbortController().signal;
const bytes = sampleBytes(300_000, 1);

let clock: ManualClock;
let loopback: Loopback;
let holder: TestBlobs;
let good: PeerId;
let asking: Libp2pExchange;
beforeEach(async () => {
  clock = new ManualClock();
  loopback = new Loopback();
  holder = new TestBlobs();
  good = (await loopback.exchange(holder)).self;
  // The good one is asked last, as if the members called it down: what comes before it is what the tests are about.
  asking = await loopback.exchange(new TestBlobs(), undefined, { hedgeMs: 500, stallMs: 10_000 }, undefined, {
    clock,
    placeOf: (peer) => ({ zone: "", down: peer === good }),
  });
});
afterEach(() => loopback.close());

function wanted(...bad: PeerId[]): Wanted {
  const digest = holder.store.put(bytes);
  return { digest, sizeBytes: bytes.byteLength, root: undefined, holders: [...bad, good] };
}

/** A member that takes a request and does with its stream what the test says. */
async function mute(then: (channel: Channel) => Promise<void>): Promise<{ peer: PeerId; asked: Promise<void> }> {
  const host = await loopback.host();
  const { promise, resolve } = Promise.withResolvers<void>();
  await host.handle(BLOB_PROTOCOL, async (stream) => {
    const channel = new Channel(stream);
    await channel.readFrame(REQUEST_SIZE_MAX);
    await then(channel);
    resolve();
    await new Promise((end) => channel.onClosed(() => end(undefined)));
  });
  return { peer: host.self, asked: promise };
}

/** Time passes once what is under way hangs: 1 s of it, no more. */
async function fetched(of: Wanted, hangs: Promise<unknown>): Promise<Buffer> {
  let done = false;
  const reading = collect(asking.fetch(of, { start: 0, end: of.sizeBytes }, never)).finally(() => {
    done = true;
  });
  reading.catch(() => {});
  await hangs;
  while (clock.monotonicMs() < 900 && !done) {
    await settle();
    await clock.advance(10);
  }
  return reading;
}

test(
  "a peer that takes the request and never answers costs less than a second",
  async () => {
    const { peer, asked } = await mute(async () => {});
    expect((await fetched(wanted(peer), asked)).equals(bytes)).toBe(true);
  },
  FAILED_MS,
);

test(
  "a peer that sends some bytes and then hangs costs less than a second",
  async () => {
    const { peer, asked } = await mute(async (channel) => {
      await channel.writeFrame({ sizeBytes: bytes.byteLength, length: bytes.byteLength });
      await channel.write(bytes.slice(0, 70_000));
    });
    expect((await fetched(wanted(peer), asked)).equals(bytes)).toBe(true);
  },
  FAILED_MS,
);

test(
  "two hung peers cost less than a second",
  async () => {
    const hung = await Promise.all([mute(async () => {}), mute(async () => {})]);
    const first = Promise.race(hung.map(({ asked }) => asked));
    expect((await fetched(wanted(...hung.map(({ peer }) => peer)), first)).equals(bytes)).toBe(true);
  },
  FAILED_MS,
);

test(
  "an address that takes the connection and never says a word costs less than a second",
  async () => {
    const peer = peerIdFromPrivateKey(await generateKeyPair("Ed25519")).toString() as PeerId;
    const { server, accepted, closed } = await silentServer();
    loopback.members.add(peer);
    loopback.addresses.set(peer, [`/ip4/127.0.0.1/tcp/${(server.address() as { port: number }).port}`]);
    let wasGivenUp: boolean | undefined; // by the library, which dials for seconds, before the good one was asked
    holder.tamper = (chunk) => {
      wasGivenUp ??= closed();
      return chunk;
    };
    expect((await fetched(wanted(peer), accepted)).equals(bytes)).toBe(true);
    expect(wasGivenUp).toBe(false);
    server.close();
  },
  FAILED_MS,
);

async function silentServer(): Promise<{ server: Server; accepted: Promise<void>; closed: () => boolean }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let closed = false;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("close", () => {
      closed = true;
    });
    socket.resume();
    resolve();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return { server, accepted: promise, closed: () => closed };
}
