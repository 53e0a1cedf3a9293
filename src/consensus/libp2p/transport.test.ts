import { generateKeyPair } from "@libp2p/crypto/keys";
import type { Libp2p } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { peerIdFromString } from "@libp2p/peer-id";
import { tcp } from "@libp2p/tcp";
import { yamux } from "@libp2p/yamux";
import { createLibp2p } from "libp2p";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { silentLog } from "../../core/log.ts";
import type { PeerId, RaftId } from "../../core/peer.ts";
import type { Entry } from "../../raft/types.ts";
import type { Boot, BootRefusal, PeerMessage, TransportHandler } from "../transport.ts";
import { Libp2pTransport, type PeerHost, RAFT_PROTOCOL } from "./transport.ts";

const nodes: Libp2p[] = [];
const transports: Libp2pTransport[] = [];
const members = new Map<RaftId, PeerId>();

beforeEach(async () => {
  for (const id of [1, 2]) {
    const node = await createLibp2p({
      privateKey: await generateKeyPair("Ed25519"),
      addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    });
    nodes.push(node);
    members.set(id, node.peerId.toString() as PeerId);
  }
  await nodes[0]!.peerStore.merge(nodes[1]!.peerId, { multiaddrs: nodes[1]!.getMultiaddrs() });
  await nodes[1]!.peerStore.merge(nodes[0]!.peerId, { multiaddrs: nodes[0]!.getMultiaddrs() });
});
afterEach(async () => {
  for (const transport of transports.splice(0)) await transport.close();
  for (const node of nodes.splice(0)) await node.stop();
  members.clear();
});

function hostOf(node: Libp2p): PeerHost {
  return {
    dial: (peer, protocol, signal) => node.dialProtocol(peerIdFromString(peer), protocol, { signal }),
    handle: (protocol, handler) =>
      node.handle(protocol, (stream, connection) => handler(stream, connection.remotePeer.toString() as PeerId)),
  };
}

class Inbox implements TransportHandler {
  readonly received: [RaftId, PeerMessage][] = [];
  readonly lost: RaftId[] = [];
  install: TransportHandler["receiveSnapshot"] = async () => new Uint8Array(0);
  #changed: () => void = () => undefined;

  readonly boots = new Set<Boot>();
  readonly refusals: [RaftId, BootRefusal][] = [];
  verdict: (boot: Boot) => BootRefusal["reason"] | undefined = () => undefined;

  receive(from: RaftId, boot: Boot, messages: readonly PeerMessage[]): BootRefusal | undefined {
    this.boots.add(boot);
    const reason = this.verdict(boot);
    if (reason === undefined) for (const message of messages) this.received.push([from, message]);
    this.#changed();
    return reason === undefined ? undefined : { reason, incarnation: boot.incarnation, nonce: boot.nonce };
  }
  refused(by: RaftId, refusal: BootRefusal): void {
    this.refusals.push([by, refusal]);
    this.#changed();
  }
  receiveSnapshot(from: RaftId, boot: Boot, header: Uint8Array, chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
    this.boots.add(boot);
    return this.install(from, boot, header, chunks);
  }
  unreachable(to: RaftId): void {
    this.lost.push(to);
    this.#changed();
  }
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

const bootOf = (incarnation: number): Boot => ({ incarnation, nonce: "ab".repeat(8), earlier: ["cd".repeat(8)], term: 3, lastIndex: 9 });

async function start(id: RaftId, inbox: TransportHandler, incarnation = 1, clusterId = "test"): Promise<Libp2pTransport> {
  const transport = new Libp2pTransport({
    host: hostOf(nodes[id - 1]!),
    clusterId,
    self: id,
    peerOf: (raftId) => members.get(raftId),
    raftIdOf: (peer) => [...members].find(([, known]) => known === peer)?.[0],
    clock: systemClock,
    log: silentLog,
  });
  transports.push(transport);
  await transport.start(inbox, bootOf(incarnation));
  return transport;
}

const entry = (index: number, sizeBytes: number): Entry => ({ index, term: 3, type: "normal", data: Buffer.alloc(sizeBytes, index) });
const append = (from: number, to: number, entries: Entry[]): PeerMessage => ({
  kind: "raft",
  message: { type: "append", from, to, term: 3, prevIndex: (entries[0]?.index ?? 1) - 1, prevTerm: 2, entries, commit: 1 },
});

test("messages of every size arrive whole, both ways, over one stream each", async () => {
  const [left, right] = [new Inbox(), new Inbox()];
  const [one, two] = [await start(1, left), await start(2, right)];
  one.send(2, [{ kind: "pong" }]);
  await right.until(() => right.received.length === 1);
  right.received.length = 0;
  const sent = [append(1, 2, [entry(5, 10), entry(6, 0)]), append(1, 2, [entry(7, 5 * 2 ** 20)]), append(1, 2, [entry(8, 70_000)])];
  for (const message of sent) one.send(2, [message]);
  two.send(1, [{ kind: "ping" }, { kind: "proposal", envelope: Buffer.from("p") }]);
  await right.until(() => right.received.length === 3);
  await left.until(() => left.received.length === 2);
  expect(right.received.map(([from]) => from)).toEqual([1, 1, 1]);
  for (const [at, [, message]] of right.received.entries()) {
    const expected = sent[at];
    if (message.kind !== "raft" || expected?.kind !== "raft") throw new Error("not a raft message");
    if (message.message.type !== "append" || expected.message.type !== "append") throw new Error("not an append");
    expect(message.message.entries.map(({ index, term, data }) => [index, term, data?.length])).toEqual(
      expected.message.entries.map(({ index, term, data }) => [index, term, data?.length]),
    );
    const [a, b] = [message.message.entries.at(-1)?.data, expected.message.entries.at(-1)?.data];
    expect(Buffer.compare(a ?? Buffer.alloc(0), b ?? Buffer.alloc(0))).toBe(0);
  }
  expect(nodes[0]!.getConnections().flatMap(({ streams }) => streams.filter(({ protocol }) => protocol === RAFT_PROTOCOL))).toHaveLength(2);
});

test("a heartbeat is not held up by entries that wait", async () => {
  const right = new Inbox();
  const one = await start(1, new Inbox());
  await start(2, right);
  one.send(2, [{ kind: "ping" }]);
  await right.until(() => right.received.length === 1);
  one.send(2, [
    ...Array.from({ length: 12 }, (_, at) => append(1, 2, [entry(at + 2, 2 ** 20)])),
    { kind: "raft", message: { type: "heartbeat", from: 1, to: 2, term: 3, commit: 1, read: 7 } },
  ]);
  await right.until(() => right.received.length === 14);
  const kinds = right.received.map(([, message]) => (message.kind === "raft" ? message.message.type : message.kind));
  expect(kinds.indexOf("heartbeat")).toBe(1);
});

test("after a lost connection the next messages arrive again", async () => {
  const [left, right] = [new Inbox(), new Inbox()];
  const one = await start(1, left);
  await start(2, right);
  one.send(2, [{ kind: "ping" }]);
  await right.until(() => right.received.length === 1);
  await Promise.all(nodes[0]!.getConnections().map((connection) => connection.close()));
  await left.until(() => left.lost.length > 0);
  one.send(2, [{ kind: "pong" }]);
  await right.until(() => right.received.length === 2);
  expect(right.received[1]).toEqual([1, { kind: "pong" }]);
});

test("G7: a peer that the membership does not list is refused", async () => {
  const [left, right] = [new Inbox(), new Inbox()];
  const one = await start(1, left);
  const two = await start(2, right);
  const stranger = members.get(1)!;
  members.delete(1);
  one.send(2, [{ kind: "ping" }]);
  await left.until(() => left.lost.length > 0);
  expect(right.received).toEqual([]);
  expect(two.counters.strangers).toBe(1);
  members.set(1, stranger);
  // It tries again by itself, after its back-off.
  const retry = setInterval(() => one.send(2, [{ kind: "ping" }]), 20);
  await right.until(() => right.received.length > 0);
  clearInterval(retry);
});

test("a stream says which start of which node it is, and one that is refused ends, with the reason told to whom it concerns", async () => {
  const [left, right] = [new Inbox(), new Inbox()];
  const one = await start(1, left, 4);
  const two = await start(2, right);
  right.verdict = () => "passed";
  one.send(2, [{ kind: "ping" }]);
  await left.until(() => left.refusals.length > 0 && left.lost.length > 0);
  expect(left.refusals).toEqual([[2, { reason: "passed", incarnation: 4, nonce: bootOf(4).nonce }]]);
  expect([...right.boots]).toEqual([bootOf(4)]);
  expect(right.received).toEqual([]);
  expect(two.counters.outdated).toBe(1);
  right.verdict = () => undefined;
  one.send(2, [{ kind: "pong" }]);
  await right.until(() => right.received.length === 1);
  expect(right.received).toEqual([[1, { kind: "pong" }]]);
});

test("a stream of another cluster is closed and counted, and nobody is told to end", async () => {
  const [left, right] = [new Inbox(), new Inbox()];
  const one = await start(1, left, 1, "another");
  const two = await start(2, right);
  one.send(2, [{ kind: "ping" }]);
  await left.until(() => left.lost.length > 0);
  expect([right.received, right.boots.size, left.refusals]).toEqual([[], 0, []]);
  expect(two.counters.misdirected).toBe(1);
  await expect(one.sendSnapshot(2, Buffer.from("h"), (async function* () {})(), new AbortController().signal)).rejects.toThrow(
    "another cluster",
  );
  expect(two.counters.misdirected).toBe(2);
});

test("a snapshot streams with backpressure, and its sender hears that it was installed", async () => {
  const right = new Inbox();
  const one = await start(1, new Inbox());
  await start(2, right);
  let sizeBytes = 0;
  right.install = async (from, boot, header, chunks) => {
    expect([from, boot, Buffer.from(header).toString()]).toEqual([1, bootOf(1), "head"]);
    for await (const chunk of chunks) sizeBytes += chunk.byteLength;
    return Buffer.from("done");
  };
  async function* chunks() {
    for (let at = 0; at < 40; at += 1) yield Buffer.alloc(256 * 1024, at);
  }
  const answer = await one.sendSnapshot(2, Buffer.from("head"), chunks(), new AbortController().signal);
  expect(Buffer.from(answer).toString()).toBe("done");
  expect(sizeBytes).toBe(40 * 256 * 1024);
});

test("a snapshot that the receiver refuses, or that breaks off, fails at both ends", async () => {
  const right = new Inbox();
  const one = await start(1, new Inbox());
  await start(2, right);
  const outcomes: unknown[] = [];
  right.install = async () => {
    throw new Error("not wanted");
  };
  async function* many() {
    for (let at = 0; at < 200; at += 1) yield Buffer.alloc(256 * 1024);
  }
  await expect(one.sendSnapshot(2, Buffer.from("h"), many(), new AbortController().signal)).rejects.toThrow("not wanted");
  right.install = async (_from, _boot, _header, chunks) => {
    try {
      for await (const chunk of chunks) outcomes.push(chunk.byteLength);
      outcomes.push("whole");
      return new Uint8Array(0);
    } catch (error) {
      outcomes.push("broken");
      throw error;
    }
  };
  async function* torn() {
    yield Buffer.alloc(1000);
    throw new Error("the disk broke");
  }
  await expect(one.sendSnapshot(2, Buffer.from("h"), torn(), new AbortController().signal)).rejects.toThrow("the disk broke");
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(outcomes).not.toContain("whole");
});
