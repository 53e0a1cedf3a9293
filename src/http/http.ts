/**
 * The port between an HTTP engine and the app. Engines: `node-http/`; a second one stands beside it and passes the same
 * `engine.conformance.ts`. Tests drive the whole app through it without a socket.
 */
export interface HttpRequest {
  /** As received: uppercase by convention, not by force. */
  readonly method: string;
  /** The request target as received, percent-encoding and all. */
  readonly target: string;
  /** The target up to `?`, still percent-encoded. */
  readonly path: string;
  /** The target after `?`, still percent-encoded; empty where there is none. */
  readonly query: string;
  readonly remoteAddress: string;
  /** Bytes that Content-Length promises; undefined for a chunked body and where there is none. */
  readonly contentLength: number | undefined;
  /** False where the head says that no body follows. */
  readonly hasBody: boolean;
  /** The client waits for `100 Continue` and has sent no body yet. */
  readonly expectsContinue: boolean;
  /** @param name in lowercase */
  header(name: string): string | undefined;
  /**
   * Once. The first chunk that is asked for sends `100 Continue` where the client waits for it.
   * Fails with `AbortError` where the client goes away, with OciError REQUEST_TIMEOUT where it falls silent.
   */
  readonly body: AsyncIterable<Uint8Array>;
}

/** A body that is not in memory. `open` is called at most once, and never for a HEAD. */
export interface HttpStream {
  /**
   * A chunk stays untouched until the second one after it is asked for, or until the iteration ends, so that a source may
   * reuse two or three buffers.
   */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface HttpResponse {
  readonly status: number;
  /** Name, value, name, value; a name may repeat. The array belongs to whoever holds the response, and is added to. */
  readonly headers: string[];
  /** Content-Length; for a HEAD that of the GET. Undefined where the status has none (204, 304). */
  readonly length: number | undefined;
  /** Dropped by the engine for a HEAD. */
  readonly body: Uint8Array | HttpStream | undefined;
}

/** Never rejects. @param signal aborts when the client goes away */
export type Handler = (request: HttpRequest, signal: AbortSignal) => Promise<HttpResponse> | HttpResponse;

export interface HttpListener {
  /** `host:port`, or the path of the socket. */
  readonly address: string;
  /** The port that was bound; 0 on a unix socket. */
  readonly port: number;
  /** From now on each answer ends its connection; new connections are still taken. */
  endConnections(): void;
  /** Takes no new connection, lets running requests end, and cuts what still runs after `drainMs`. */
  close(drainMs?: number): Promise<void>;
}

/** Splits a target into path and query; the absolute form of RFC 9112 section 3.2.2 loses its authority. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  let start = 0;
  if (target.charCodeAt(0) !== 47) {
    const scheme = /^https?:\/\/[^/?]*/i.exec(target);
    if (scheme !== null) start = scheme[0].length;
  }
  const mark = target.indexOf("?", start);
  if (mark < 0) return { path: start === 0 ? target : target.slice(start) || "/", query: "" };
  return { path: target.slice(start, mark) || "/", query: target.slice(mark + 1) };
}
