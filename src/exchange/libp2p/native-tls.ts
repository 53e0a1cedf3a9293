import { once } from "node:events";
import { Socket } from "node:net";
import { connect, TLSSocket, type TLSSocketOptions } from "node:tls";
import {
  type AbortOptions,
  type ConnectionEncrypter,
  type MessageStream,
  type SecureConnectionOptions,
  type SecuredConnection,
  type StreamMuxerFactory,
  serviceCapabilities,
} from "@libp2p/interface";
import { PROTOCOL, type TLSComponents, tls } from "@libp2p/tls";
import { generateCertificate, toMessageStream, verifyPeerCertificate } from "@libp2p/tls/utils";
import type { Log } from "../../core/log.ts";

/** What this stands on of the connection of `@libp2p/tcp`, which is no public part of it. */
interface TcpConnection extends MessageStream {
  readonly socket: Socket;
  sendReset(): void;
  sendClose(options?: AbortOptions): Promise<void>;
}

type Certificate = Awaited<ReturnType<typeof generateCertificate>>;

/** ALPN of a peer that negotiates the muxer afterwards. */
const NO_EARLY_MUXER = "libp2p";
/** A little more than TLS puts into one record. */
const WHOLE_BYTES_MAX = 32 * 1024;

/**
 * libp2p's `/tls/1.0.0`, the same on the wire as `@libp2p/tls`, but the TCP socket itself is handed to TLS, where the library runs TLS over a
 * JavaScript stream and so through the event loop twice. Where a connection does not show its socket, the library's own is used, with one line in the log.
 */
export function nativeTls(log: Log): (components: TLSComponents) => ConnectionEncrypter {
  return (components) => new NativeTls(components, log);
}

class NativeTls implements ConnectionEncrypter {
  readonly protocol = PROTOCOL;
  readonly [Symbol.toStringTag] = "roadstead/native-tls";
  readonly [serviceCapabilities] = ["@libp2p/connection-encryption"];
  readonly #components: TLSComponents;
  readonly #stock: ConnectionEncrypter;
  readonly #log: Log;
  #certificate: Promise<Certificate> | undefined;
  #warned = false;

  constructor(components: TLSComponents, log: Log) {
    this.#components = components;
    this.#stock = tls()(components);
    this.#log = log;
  }

  async secureInbound<Stream extends MessageStream>(connection: Stream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    if (!isTcp(connection)) return this.#withStock().secureInbound(connection, options);
    const muxers = this.#components.upgrader.getStreamMuxers();
    const early = options?.skipStreamMuxerNegotiation === true ? [] : [...muxers.keys()];
    return this.#secure(connection, options, (raw, common) => {
      const ALPNCallback = ({ protocols }: { protocols: string[] }): string | undefined =>
        protocols.find((protocol) => early.includes(protocol) || protocol === NO_EARLY_MUXER);
      return new TLSSocket(raw, { ...common, isServer: true, requestCert: true, ALPNCallback });
    });
  }

  async secureOutbound<Stream extends MessageStream>(connection: Stream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    if (!isTcp(connection)) return this.#withStock().secureOutbound(connection, options);
    const early = options?.skipStreamMuxerNegotiation === true ? [] : this.#components.upgrader.getStreamMuxers().keys();
    return this.#secure(connection, options, (raw, common) =>
      connect({ socket: raw, ...common, ALPNProtocols: [...early, NO_EARLY_MUXER] }),
    );
  }

  #withStock(): ConnectionEncrypter {
    if (!this.#warned)
      this.#log.warn({}, "a connection does not show its TCP socket: TLS runs in JavaScript over it, at about half the rate");
    this.#warned = true;
    return this.#stock;
  }

  async #secure(
    connection: TcpConnection,
    options: SecureConnectionOptions | undefined,
    begin: (raw: Socket, common: TLSSocketOptions) => TLSSocket,
  ): Promise<SecuredConnection> {
    connection.pause(); // what the peer sends meanwhile waits in the socket
    this.#certificate ??= generateCertificate(this.#components.privateKey);
    const { cert, key } = await this.#certificate;
    options?.signal?.throwIfAborted();
    if (connection.status !== "open" || connection.socket.destroyed) throw new Error("the connection ended before its TLS handshake");
    handBack(connection);
    const common = { cert, key, minVersion: "TLSv1.3", maxVersion: "TLSv1.3", rejectUnauthorized: false } as const;
    const socket = begin(connection.socket, common);
    endThrough(connection, socket);
    try {
      await handshake(socket, options?.signal);
      const { raw } = socket.getPeerCertificate();
      if (raw === undefined) throw new Error("the peer showed no certificate, so nobody knows who it is");
      const remotePeer = await verifyPeerCertificate(raw, options?.remotePeer, connection.log);
      options?.signal?.throwIfAborted();
      const secured = toMessageStream(connection, socket);
      sendWhole(secured as MessageStream & DataSender, socket);
      return { remotePeer, connection: secured, streamMuxer: this.#muxerOf(socket) };
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  #muxerOf(socket: TLSSocket): StreamMuxerFactory | undefined {
    const chosen = socket.alpnProtocol;
    if (typeof chosen !== "string" || chosen === NO_EARLY_MUXER) return undefined;
    const muxer = this.#components.upgrader.getStreamMuxers().get(chosen);
    if (muxer === undefined) throw new Error(`the peer chose the muxer ${chosen}, which was not offered to it`);
    return muxer;
  }
}

function isTcp(connection: MessageStream): connection is TcpConnection {
  const { socket, sendReset, sendClose } = connection as Partial<TcpConnection>;
  return socket instanceof Socket && typeof sendReset === "function" && typeof sendClose === "function";
}

/** Bytes of the handshake that came with the last line of the protocol's negotiation go back into the socket, before those that it holds. */
function handBack(connection: TcpConnection): void {
  const { socket } = connection;
  if (connection.readBufferLength > 0) {
    const early: Uint8Array[] = [];
    const collect = (event: { readonly data: { subarray(): Uint8Array } }): void => void early.push(event.data.subarray());
    connection.addEventListener("message", collect);
    connection.resume(); // hands out at once what it holds ..
    connection.pause(); // .. and nothing else: the socket flows on the next turn at the earliest
    connection.removeEventListener("message", collect);
    socket.unshift(Buffer.concat(early));
  }
  socket.removeAllListeners("data"); // what is read from it from here on is ciphertext, and not the connection's
}

/**
 * The connection ends its socket through TLS from now on. A raw socket that is reset beneath a TLS socket, in one of its own callbacks, may end
 * the process; a TLS socket that is destroyed takes the raw one with it, in the right order.
 */
function endThrough(connection: TcpConnection, socket: TLSSocket): void {
  connection.sendReset = () => void socket.destroy();
  connection.sendClose = async (options) => {
    if (socket.closed) return;
    socket.destroySoon();
    await once(socket, "close", options);
  };
}

/** What a connection does with the parts of one message; no public part of it. */
export interface DataSender {
  sendData(data: Iterable<Uint8Array> & { readonly byteLength: number }): { readonly sentBytes: number; readonly canSendMore: boolean };
}

/**
 * A frame of the muxer comes in parts, its head and its content, of which the library makes a record of TLS and a packet each: the peer wakes for both, and
 * the second waits until the first has left. Short ones go out whole; for a long one that would be a copy of it.
 */
export function sendWhole(connection: DataSender, socket: Pick<Socket, "cork" | "uncork">): void {
  const sendParts = connection.sendData.bind(connection);
  connection.sendData = (data) => {
    if (data.byteLength > WHOLE_BYTES_MAX) return sendParts(data);
    socket.cork();
    try {
      return sendParts(data);
    } finally {
      socket.uncork();
    }
  };
}

/** Resolves when the handshake is over. @throws what ended it; the signal's reason */
async function handshake(socket: TLSSocket, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = (): void => reject(signal?.reason);
  const onClose = (): void => reject(new Error("the peer closed the connection in the TLS handshake"));
  socket.on("error", reject); // stays: an error that nobody listens for would end the process
  socket.once("close", onClose);
  socket.once("secure", resolve);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    socket.off("close", onClose);
    signal?.removeEventListener("abort", onAbort);
  }
}
