import { lstatSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer } from "../../core/builtin-http.ts";
import { OciError, systemCode } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Random } from "../../core/random.ts";
import { errorResponse } from "../error-response.ts";
import type { Handler, HttpListener, HttpResponse } from "../http.ts";
import type { HttpLimits } from "../limits.ts";
import { requestIds } from "../request-id.ts";
import { Connection, type ConnectionOptions } from "./connection.ts";

export type ListenOptions = {
  readonly limits: HttpLimits;
  readonly log: Log;
  /** For the ids of requests that cannot be parsed. */
  readonly random: Random;
} & (ListenTcp | ListenSocket);

interface ListenTcp {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly tls?: TlsFiles | undefined;
  readonly socketPath?: undefined;
}

/** A unix socket, made 0600. A stale one at the path is replaced: the caller holds the lock of its folder. */
interface ListenSocket {
  readonly socketPath: string;
}

/** Paths of PEM files, read once. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

const DRAIN_MS = 10_000;
const PENDING_MAX = 1_024;
/** The first turn may be the one that is under way. */
const QUIET_TURNS = 3;
/** When the server closes, the first request of a connection that has just been taken may be on its way: it is awaited for so long. */
const FIRST_REQUEST_MS = 1_000;

/** Serves `handler` on node:http, or node:https where there are TLS files. @throws the system's error where it cannot listen */
export async function listenHttp(handler: Handler, options: ListenOptions): Promise<HttpListener> {
  let ending = false;
  let closing = false;
  const connections = new Map<Duplex, Connection>();
  const refuse = refuser(requestIds(options.random));
  const { limits, log } = options;
  const connectionOptions: ConnectionOptions = { handler, limits, log, ending: () => ending, closing: () => closing, refuse };
  const connectionOf = (socket: Socket): Connection => {
    let connection = connections.get(socket);
    if (connection === undefined) {
      connection = new Connection(socket, connectionOptions);
      connections.set(socket, connection);
      socket.once("close", () => connections.delete(socket));
    }
    return connection;
  };
  const server = makeServer(options);
  const arrived = (expectsContinue: boolean) => (message: IncomingMessage, response: ServerResponse) =>
    connectionOf(message.socket).arrived(message, response, expectsContinue);
  server.on("request", arrived(false));
  server.on("checkContinue", arrived(true));
  server.on("checkExpectation", arrived(false)); // any other expectation may be passed over (RFC 9110 section 10.1.1)
  const isTls = options.socketPath === undefined && options.tls !== undefined;
  server.on(isTls ? "secureConnection" : "connection", (socket: Socket) => connectionOf(socket));
  server.on("connect", (_message, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    connectionOf(socket as Socket).malformed(new OciError("METHOD_NOT_ALLOWED", "this is no proxy: it takes no CONNECT", { allow: "GET" }));
  });
  server.on("clientError", (error: Error, socket: Duplex) => {
    if (systemCode(error) === "ECONNRESET" || !socket.writable) socket.destroy();
    else connectionOf(socket as Socket).malformed(parseFailure(error));
  });
  await listen(server, options);
  return {
    ...boundTo(server, options),
    endConnections() {
      ending = true;
    },
    async close(drainMs = DRAIN_MS) {
      ending = true;
      await acceptPending(server);
      closing = true;
      const fresh = [...connections.values()].filter((connection) => !connection.closeIfIdle());
      return closeServer(server, drainMs, () => {
        for (const connection of fresh) connection.closeIfUnused();
      });
    },
  };
}

function makeServer(options: ListenOptions): Server {
  const { limits } = options;
  const settings: ServerOptions = {
    maxHeaderSize: limits.headBytes,
    headersTimeout: limits.headMs,
    requestTimeout: 0, // large layers take as long as they take; bodies have an idle limit
    connectionsCheckingInterval: Math.max(1, Math.min(5_000, Math.floor(limits.headMs / 2))),
    keepAliveTimeout: limits.keepAliveMs,
    requireHostHeader: false, // answered by us, in the spec's JSON
    optimizeEmptyRequests: true,
    noDelay: true,
    keepAlive: true,
  };
  const server =
    options.socketPath === undefined && options.tls !== undefined
      ? createTlsServer({ ...settings, ...readTls(options.tls), minVersion: "TLSv1.2" })
      : createServer(settings);
  server.on("tlsClientError", (_error, socket: Duplex) => socket.destroy());
  return server;
}

function readTls(tls: TlsFiles): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) };
}

function listen(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const onListening = (): void => {
      server.off("error", reject);
      server.on("error", (error) => options.log.error({ err: error }, "the HTTP listener failed"));
      resolve();
    };
    if (options.socketPath === undefined) {
      server.listen({ host: options.host, port: options.port, backlog: 1_024 }, onListening);
      return;
    }
    removeStaleSocket(options.socketPath);
    const mask = process.umask(0o177); // bound within this call: never open to others, not for a moment
    try {
      server.listen(options.socketPath, onListening);
    } finally {
      process.umask(mask);
    }
  });
}

function removeStaleSocket(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) rmSync(path);
}

function boundTo(server: Server, options: ListenOptions): { address: string; port: number } {
  const address = server.address();
  if (options.socketPath !== undefined || address === null || typeof address === "string") {
    return { address: options.socketPath ?? String(address), port: 0 };
  }
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return { address: `${host}:${address.port}`, port: address.port };
}

/** The system has taken connections that the event loop has not seen yet, one a turn: closing the listener would reset them. */
async function acceptPending(server: Server): Promise<void> {
  let quietTurns = 0;
  const note = (): void => {
    quietTurns = 0;
  };
  server.on("connection", note);
  for (let turns = 0; quietTurns < QUIET_TURNS && turns < PENDING_MAX; turns += 1) {
    quietTurns += 1;
    await new Promise(setImmediate);
  }
  server.off("connection", note);
}

function closeServer(server: Server, drainMs: number, onceSettled: () => void): Promise<void> {
  return new Promise((resolve) => {
    const timers = [setTimeout(() => server.closeAllConnections(), drainMs), setTimeout(onceSettled, FIRST_REQUEST_MS)];
    server.close(() => {
      for (const timer of timers) clearTimeout(timer);
      resolve();
    });
  });
}

function refuser(nextId: () => string): (error: OciError) => HttpResponse {
  return (error) => {
    const response = errorResponse(error);
    response.headers.push("X-Request-Id", nextId(), "Docker-Distribution-Api-Version", "registry/2.0");
    return response;
  };
}

function parseFailure(error: Error): OciError {
  switch (systemCode(error)) {
    case "HPE_HEADER_OVERFLOW":
      return new OciError("REQUEST_INVALID", "the request's head is too large", { httpStatus: 431 });
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new OciError("REQUEST_TIMEOUT", "the request's head did not come in time");
    default:
      return new OciError("REQUEST_INVALID", "these bytes are no HTTP/1.1 request");
  }
}
