import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { Duplex, Writable } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { generateKeyPair } from "@libp2p/crypto/keys";
import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions } from "@libp2p/interface";
import { noise } from "@libp2p/noise";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { tcp } from "@libp2p/tcp";
import { type TLSComponents, tls } from "@libp2p/tls";
import { generateCertificate } from "@libp2p/tls/utils";
import { yamux } from "@libp2p/yamux";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p, type Libp2p } from "libp2p";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { type Log, silentLog } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { Channel } from "./channel.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Host } from "./host.ts";
import { type DataSender, nativeTls, sendWhole } from "./native-tls.ts";

const ECHO = "/roadstead/test/1.0.0";
const NEGOTIATION = "\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n";
const STORM = new URL("./abort-storm.conformance.ts", import.meta.url).pathname;
const never = new AbortController().signal;
type Encrypter = (components: TLSComponents) => ConnectionEncrypter;

let loopback = new Loopback();
let others: Libp2p[] = [];
afterEach(async () => {
  await loopback.close();
  await Promise.all(others.map((node) => node.stop()));
  loopback = new Loopback();
  others = [];
});

/** A libp2p node as the library makes it, which our nodes take for a member. */
async function stockNode(encrypter: Encrypter): Promise<Libp2p> {
  const node = await createLibp2p({
    privateKey: await generateKeyPair("Ed25519"),
    addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
    transports: [tcp()],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux()],
  });
  others.push(node);
  loopback.members.add(node.peerId.toString() as PeerId);
  loopback.addresses.set(
    node.peerId.toString() as PeerId,
    node.getMultiaddrs().map((address) => address.toString()),
  );
  return node;
}

async function answer(channel: Channel): Promise<void> {
  await channel.writeFrame(await channel.readFrame(10_000_000));
  await channel.end(systemClock);
}

async function echoHost(): Promise<Host> {
  const host = await loopback.host();
  await host.handle(ECHO, (stream) => answer(new Channel(stream)));
  return host;
}

async function say(channel: Channel, what: unknown): Promise<unknown> {
  await channel.writeFrame(what);
  const said = await channel.readFrame(10_000_000);
  await channel.end(systemClock);
  return said;
}

/** A peer that is not ours to trust: a TCP connection to the node. */
async function rawPeer(node: Libp2p): Promise<Socket> {
  const socket = connectTcp(Number(/tcp\/(\d+)/.exec(`${node.getMultiaddrs()[0]}`)![1]), "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** The way of a raw peer's TLS: its first bytes leave in one packet with the whole negotiation, the answer to which is cut off. */
function behindNegotiation(socket: Socket): Duplex {
  let begun = false;
  let skip = NEGOTIATION.length;
  const duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const first = begun ? 0 : 100;
      if (!begun) socket.write(Buffer.concat([Buffer.from(NEGOTIATION), chunk.subarray(0, first)]));
      begun = true;
      setImmediate(() => socket.write(chunk.subarray(first), () => done()));
    },
  });
  socket.on("data", (chunk: Buffer) => {
    duplex.push(chunk.subarray(Math.min(skip, chunk.byteLength)));
    skip = Math.max(0, skip - chunk.byteLength);
  });
  socket.on("close", () => duplex.destroy());
  return duplex;
}

/** TLS towards the host, from a raw peer; what it shows as its certificate is in `options`. */
async function rawTls(host: Host, options: ConnectionOptions): Promise<{ alpn: string | false | null; closed: Promise<unknown> }> {
  const socket = connectTls({
    socket: behindNegotiation(await rawPeer(host.node)),
    ALPNProtocols: ["/yamux/1.0.0", "libp2p"],
    rejectUnauthorized: false,
    ...options,
  });
  const closed = new Promise((resolve) => socket.on("error", resolve).on("close", resolve));
  await once(socket, "secureConnect");
  socket.resume();
  return { alpn: socket.alpnProtocol, closed };
}

for (const [name, encrypter, protocol] of [
  ["@libp2p/tls", tls(), "/tls/1.0.0"],
  ["@libp2p/noise", noise() as Encrypter, "/noise"],
] as const) {
  const what = "more than a window ".repeat(100_000);

  test(`a node of the library with ${name} is dialled`, async () => {
    const [host, stock] = [await echoHost(), await stockNode(encrypter)];
    await stock.handle(ECHO, (stream) => answer(new Channel(stream)));
    expect(await say(new Channel(await host.dial(stock.peerId.toString() as PeerId, ECHO, never)), what)).toEqual(what);
    expect(host.connection(stock.peerId.toString() as PeerId)?.encryption).toBe(protocol);
  });

  test(`a node of the library with ${name} dials`, async () => {
    const [host, stock] = [await echoHost(), await stockNode(encrypter)];
    const connection = await stock.dial(multiaddr(`${host.addresses()[0]}/p2p/${host.self}`));
    expect(connection.encryption).toBe(protocol);
    expect(await say(new Channel(await connection.newStream(ECHO)), what)).toEqual(what);
  });
}

test("G7: whoever answers with another peer id than the one that was dialled is refused", async () => {
  const [host, other] = [await echoHost(), await echoHost()];
  const wrong = peerIdFromPrivateKey(await generateKeyPair("Ed25519")).toString() as PeerId;
  loopback.members.add(wrong);
  loopback.addresses.set(wrong, other.addresses());
  await expect(host.dial(wrong, ECHO, never)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(host.node.getConnections()).toEqual([]);
});

test("the first bytes of TLS may come in one packet with the negotiation's last line, or in two", async () => {
  const host = await echoHost();
  const opened = new Promise((resolve) => host.node.addEventListener("connection:open", resolve, { once: true }));
  const { alpn } = await rawTls(host, await generateCertificate(await generateKeyPair("Ed25519")));
  expect(alpn).toBe("/yamux/1.0.0");
  await opened;
});

test("G7: a peer that shows no certificate is refused", async () => {
  const host = await echoHost();
  await (await rawTls(host, {})).closed;
  expect(host.node.getConnections()).toEqual([]);
});

test("bytes that are no handshake cost the connection they come on, and no other", async () => {
  const [host, friend] = [await echoHost(), await echoHost()];
  const channel = new Channel(await friend.dial(host.self, ECHO, never));
  for (const garbage of [Buffer.alloc(10_000, 0xaa), Buffer.from("GET / HTTP/1.1\r\n\r\n"), Buffer.from("16030100050100000100", "hex")]) {
    const socket = await rawPeer(host.node);
    socket.write(NEGOTIATION);
    socket.end(garbage);
    socket.resume();
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  }
  expect(await say(channel, 1)).toBe(1);
  expect(host.node.getConnections()).toHaveLength(1);
});

/** A node with `nativeTls`, each handshake of which goes through `change` first. */
function changed(
  log: Log,
  change: (
    connection: MessageStream,
    options: SecureConnectionOptions | undefined,
  ) => SecureConnectionOptions & { connection: MessageStream },
): Encrypter {
  return (components) => {
    const encrypter = nativeTls(log)(components);
    const pass =
      (secure: ConnectionEncrypter["secureInbound"]): ConnectionEncrypter["secureInbound"] =>
      (connection, options) => {
        const { connection: other, ...rest } = change(connection, options);
        return secure(other, rest);
      };
    encrypter.secureInbound = pass(encrypter.secureInbound.bind(encrypter));
    encrypter.secureOutbound = pass(encrypter.secureOutbound.bind(encrypter));
    return encrypter;
  };
}

test("a peer that stops in the middle of the handshake loses its connection at the deadline", async () => {
  const deadline = new AbortController();
  const node = await stockNode(changed(silentLog, (connection, options) => ({ ...options, connection, signal: deadline.signal })));
  const socket = await rawPeer(node);
  socket.write(NEGOTIATION);
  const mute = new Duplex({
    read() {}, // the answer never arrives
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, () => done()),
  });
  const client = connectTls({ socket: mute, rejectUnauthorized: false });
  client.on("error", () => {});
  let received = 0;
  await new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      received += chunk.byteLength;
      if (received > NEGOTIATION.length) resolve(); // the server has answered the first message, and waits for the second
    });
  });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  deadline.abort(new Error("too late"));
  await closed;
  client.destroy();
});

test("a connection that shows no socket is secured by the library, and the log says so once", async () => {
  const lines: string[] = [];
  const log: Log = { ...silentLog, warn: (_fields, line) => void lines.push(line) };
  const hidden: Encrypter = changed(log, (connection, options) => ({
    ...options,
    connection: new Proxy(connection, {
      get(target, key) {
        const value: unknown = key === "socket" ? undefined : Reflect.get(target, key, target);
        return typeof value === "function" && key !== "log" ? value.bind(target) : value;
      },
    }),
  }));
  const node = await stockNode(hidden);
  const [first, second] = [await echoHost(), await echoHost()];
  for (const host of [first, second]) {
    const connection = await node.dial(multiaddr(`${host.addresses()[0]}/p2p/${host.self}`));
    expect(await say(new Channel(await connection.newStream(ECHO)), "hello")).toBe("hello");
  }
  expect(lines).toHaveLength(1);
});

test("connections that end in every way at every point leave the process alive and no socket open", { timeout: 240_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [STORM, "150", "1"]);
  const counts = Object.values(JSON.parse(stdout) as Record<string, number>);
  expect(counts.reduce((sum, count) => sum + count)).toBe(150);
});

test("the parts of a short message are one write of the socket, and those of a long one are not put together", () => {
  const writes: number[] = [];
  const socket = new Writable({
    write: (bytes: Uint8Array, _encoding, done) => {
      writes.push(bytes.byteLength);
      done();
    },
    writev: (parts, done) => {
      writes.push(parts.reduce((sum, { chunk }) => sum + (chunk as Uint8Array).byteLength, 0));
      done();
    },
  });
  const connection: DataSender = {
    sendData(data) {
      let canSendMore = true;
      for (const part of data) canSendMore = socket.write(part);
      return { sentBytes: data.byteLength, canSendMore };
    },
  };
  sendWhole(connection, socket);
  const message = (...sizes: number[]) =>
    Object.assign(
      sizes.map((size) => new Uint8Array(size)),
      { byteLength: sizes.reduce((sum, size) => sum + size, 0) },
    );
  expect(connection.sendData(message(12, 300))).toEqual({ sentBytes: 312, canSendMore: true });
  expect(writes.splice(0)).toEqual([312]);
  connection.sendData(message(12, 100_000));
  expect(writes).toEqual([12, 100_000]);
});
