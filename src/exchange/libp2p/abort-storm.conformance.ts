/**
 * A program: connections that end in every way at every point, for as many rounds as it is told. That it reaches its last line is the test: a crash
 * in TLS ends the process. Prints how many rounds of each kind it ran, and which sockets were left.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Connection, Stream } from "@libp2p/interface";
import { seededRandom } from "../../core/random.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Host } from "./host.ts";

const FLOOD = "/roadstead/test/flood/1.0.0";
const CHUNK = new Uint8Array(300_000);
const never = new AbortController().signal;
const [rounds = "300", seed = "1"] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const below = (limit: number): number => Math.floor(random.float() * limit);
const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

/** Every way in which an end can go. The raw socket is what the kernel or a firewall would do. */
const ENDS: Readonly<Record<string, (connection: Connection, stream: Stream) => void>> = {
  abort: (connection) => connection.abort(new Error("storm")),
  close: (connection) => void connection.close().catch(() => {}),
  closeThenAbort: (connection) => {
    connection.close().catch(() => {});
    connection.abort(new Error("storm"));
  },
  resetStream: (connection, stream) => {
    stream.abort(new Error("storm"));
    connection.abort(new Error("storm"));
  },
  rawReset: (connection) => void rawOf(connection).resetAndDestroy(),
  rawDestroy: (connection) => void rawOf(connection).destroy(),
  rawEnd: (connection) => void rawOf(connection).end(),
};
const WAYS = Object.keys(ENDS);

function rawOf(connection: Connection): Socket {
  return (connection as unknown as { readonly maConn: { readonly socket: Socket } }).maConn.socket;
}

/** Sends until the stream or its connection is gone. */
async function flood(stream: Stream): Promise<void> {
  while (stream.writeStatus === "writable") {
    if (stream.send(CHUNK)) await turns(1);
    else await Promise.race([once(stream, "drain"), once(stream, "close")]);
  }
}

class Storm {
  readonly counts = new Map<string, number>();
  readonly #loopback = new Loopback();
  #inbound: ((stream: Stream, connection: Connection) => void) | undefined;

  async pair(): Promise<[Host, Host]> {
    const [a, b] = [await this.#loopback.host(), await this.#loopback.host()];
    for (const host of [a, b]) {
      await host.node.handle(FLOOD, (stream, connection) => {
        this.#inbound?.(stream, connection);
        void flood(stream).catch(() => {});
      });
    }
    return [a, b];
  }

  /** A peer that speaks no TLS, or stops in the middle of it. */
  async halfHandshake(host: Host): Promise<void> {
    const address = /tcp\/(\d+)/.exec(host.addresses()[0]!);
    const socket = connect(Number(address![1]), "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.resume();
    socket.write("\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n");
    const hello = Buffer.concat([Buffer.from("16030100c8010000c40303", "hex"), Buffer.alloc(194, 5)]);
    if (below(2) === 0) socket.write(hello.subarray(0, below(hello.byteLength)));
    await turns(below(8));
    if (below(2) === 0) socket.write(Buffer.alloc(below(5000), 0xaa));
    const way = below(3);
    if (way === 0) socket.destroy();
    else if (way === 1) socket.resetAndDestroy();
    else socket.end();
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
    this.#count(["destroy", "reset", "end"][way]!, "handshake");
  }

  /**
   * A connection that ends inside a callback of the handshake itself, while OpenSSL is on the stack: the raw socket's timeout is what aborts it. A raw
   * socket that is reset there, and not through TLS, ends the process by SIGSEGV.
   */
  async abortInHandshake(a: Host, b: Host): Promise<void> {
    let raw: Socket | undefined;
    let secrets = 1 + below(5);
    const onRaw = (message: unknown): void => {
      raw = (message as { readonly socket: Socket }).socket;
    };
    const { once: plain } = TLSSocket.prototype;
    const onceAndKeylog = function (this: TLSSocket, event: string, listener: () => void): TLSSocket {
      if (event === "secure") {
        this.on("keylog", () => {
          secrets -= 1;
          if (secrets === 0) raw?.emit("timeout");
        });
      }
      return Reflect.apply(plain, this, [event, listener]);
    };
    TLSSocket.prototype.once = onceAndKeylog as typeof plain;
    subscribe("net.client.socket", onRaw);
    try {
      await a.dial(b.self, FLOOD, never).then(
        (stream) => stream.abort(new Error("storm")),
        () => {},
      );
    } finally {
      TLSSocket.prototype.once = plain;
      unsubscribe("net.client.socket", onRaw);
    }
    for (const connection of a.node.getConnections()) connection.abort(new Error("storm"));
    await this.#allClosed(a, b);
    this.#count("callback", "handshake");
  }

  /** A dial that is given up on its way. */
  async abortedDial(a: Host, b: Host): Promise<void> {
    const controller = new AbortController();
    const dialling = a.dial(b.self, FLOOD, controller.signal).then(
      (stream) => stream.abort(new Error("storm")),
      () => {},
    );
    await turns(below(40));
    controller.abort();
    await dialling;
    for (const connection of a.node.getConnections()) connection.abort(new Error("storm"));
    await this.#allClosed(a, b);
    this.#count("signal", "dial");
  }

  /** Both ends send; after some bytes, or once one end is paused and the other full, one end goes, or both at once. */
  async midTransfer(a: Host, b: Host): Promise<void> {
    const inbound = new Promise<{ stream: Stream; connection: Connection }>((resolve) => {
      this.#inbound = (stream, connection) => resolve({ stream, connection });
    });
    const stream = await a.dial(b.self, FLOOD, never);
    const near = { stream, connection: a.connection(b.self)! };
    const far = await inbound;
    const paused = below(3) === 0;
    const way = WAYS[below(WAYS.length)]!;
    const other = WAYS[below(WAYS.length)]!;
    const strike = (): void => {
      ENDS[way]!(near.connection, near.stream);
      if (below(2) === 0) ENDS[other]!(far.connection, far.stream);
    };
    if (paused) {
      near.stream.pause();
      while (far.stream.status === "open" && !far.stream.writableNeedsDrain) await turns(1);
      strike();
    } else {
      let left = 1 + below(3_000_000);
      near.stream.addEventListener("message", (event) => {
        if (left > 0 && left <= event.data.byteLength) strike(); // inside the callback in which TLS hands its bytes over
        left -= event.data.byteLength;
      });
      void flood(near.stream).catch(() => {});
    }
    await this.#allClosed(a, b);
    this.#count(way, paused ? "paused" : "transfer");
  }

  /** A host that stops while its connections are busy. */
  async stopInTransfer(): Promise<void> {
    const [a, b] = await this.pair();
    const stream = await a.dial(b.self, FLOOD, never);
    void flood(stream).catch(() => {});
    await once(stream, "message");
    await Promise.all(below(2) === 0 ? [a.stop(), b.stop()] : [b.stop()]);
    this.#count("stop", "transfer");
  }

  async #allClosed(...hosts: readonly Host[]): Promise<void> {
    while (hosts.some((host) => host.node.getConnections().length > 0)) await turns(1);
  }

  #count(way: string, point: string): void {
    const key = `${point} ${way}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }

  close(): Promise<void> {
    return this.#loopback.close();
  }
}

/** A host takes 50 connections a second from one address, and resets those beyond: after so many rounds another pair goes on. */
const ROUNDS_OF_PAIR = 25;
const storm = new Storm();
let [a, b] = await storm.pair();
for (let round = 0; round < Number(rounds); round += 1) {
  if (round % ROUNDS_OF_PAIR === ROUNDS_OF_PAIR - 1) [a, b] = await storm.pair();
  const kind = below(20);
  if (kind < 3) await storm.halfHandshake(b);
  else if (kind < 5) await storm.abortInHandshake(a, b);
  else if (kind < 8) await storm.abortedDial(a, b);
  else if (kind < 19) await storm.midTransfer(a, b);
  else await storm.stopInTransfer();
}
await storm.close();
while (process.getActiveResourcesInfo().some((resource) => /TCP|TLS/.test(resource))) await turns(1); // hangs, and so fails, where a socket is left
process.stdout.write(`${JSON.stringify(Object.fromEntries(storm.counts))}\n`);
