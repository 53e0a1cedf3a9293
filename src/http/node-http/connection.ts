import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { isAbortError, OciError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Handler, HttpResponse, HttpStream } from "../http.ts";
import type { HttpLimits } from "../limits.ts";
import { clientGone, IncomingBody } from "./incoming-body.ts";
import { rawAnswer } from "./raw-answer.ts";
import { NodeRequest } from "./request.ts";
import { type BodySink, sendBody } from "./response-body.ts";

/** An AbortController with its signal costs 2 us: one serves this many requests of a connection, one after the other. */
const REQUESTS_PER_SIGNAL = 32;

export interface ConnectionOptions {
  readonly handler: Handler;
  readonly limits: HttpLimits;
  readonly log: Log;
  /** True once answers are to end their connection. */
  ending(): boolean;
  /** True once the server closes: a connection then ends as soon as nothing runs on it. */
  closing(): boolean;
  /** The answer to a request that never reaches the handler, request id and all. */
  refuse(error: OciError): HttpResponse;
}

interface Arrival {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
  readonly expectsContinue: boolean;
}

/** One connection: its requests run one after the other, in order (RFC 9112 section 9.3.2). */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #queue: Arrival[] = [];
  #running: Arrival | undefined;
  #malformed: OciError | undefined;
  #controller: AbortController | undefined;
  #signalled = 0;
  /** A request has come. */
  #used = false;
  /** The last answer said that its connection ends with it. */
  #announced = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on("close", () => {
      this.#queue.length = 0;
      this.#controller?.abort(clientGone());
    });
  }

  /**
   * The client sent bytes that are no HTTP: they are answered in their turn, after the requests before them, and the connection
   * ends. Inside a body that is being read they are the answer to its request.
   */
  malformed(error: OciError): void {
    if (this.#malformed !== undefined) return;
    this.#malformed = error;
    if (this.#running === undefined) this.#endRaw(error);
    else if (!this.#running.message.complete) {
      if (this.#running.response.headersSent) this.#socket.destroy();
      else this.#endRaw(error);
    }
  }

  /** For a server that closes. @returns false where it has asked nothing yet, and is kept */
  closeIfIdle(): boolean {
    if (!this.#used) return false;
    if (this.#running === undefined) this.#end();
    return true;
  }

  closeIfUnused(): void {
    if (!this.#used) this.#end();
  }

  #end(): void {
    if (this.#socket.writableLength > 0) this.#socket.end();
    else this.#socket.destroy();
  }

  /** An answer whose head had left before the server was to close did not tell its client: the connection ends after it all the same. */
  #endIfClosing(): void {
    if (this.#options.closing() && !this.#announced) this.closeIfIdle();
  }

  #endRaw(error: OciError): void {
    const socket = this.#socket;
    socket.end(rawAnswer(this.#options.refuse(error)), () => socket.destroy());
  }

  arrived(message: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const arrival = { message, response, expectsContinue };
    this.#used = true;
    if (this.#running === undefined) {
      void this.#run(arrival);
    } else if (this.#queue.length < this.#options.limits.pipelined) {
      this.#queue.push(arrival);
    } else {
      this.#socket.destroy();
    }
  }

  async #run(first: Arrival): Promise<void> {
    for (let arrival: Arrival | undefined = first; arrival !== undefined; arrival = this.#queue.shift()) {
      this.#running = arrival;
      try {
        await this.#serve(arrival);
      } catch (error) {
        this.#fail(error);
      }
    }
    const last: Arrival | undefined = this.#running;
    this.#running = undefined;
    if (this.#malformed !== undefined && this.#socket.writable) this.#endRaw(this.#malformed);
    else if (last?.message.complete === true) this.#endIfClosing();
  }

  /** A body that broke off must not look complete: the connection ends with it. */
  #fail(error: unknown): void {
    const gone = this.#socket.destroyed || isAbortError(error);
    if (!gone) this.#options.log.error({ err: error }, "an answer broke off in the middle; its connection was cut");
    this.#socket.destroy();
  }

  #signal(): AbortSignal {
    if (this.#controller === undefined || this.#signalled >= REQUESTS_PER_SIGNAL) {
      this.#controller = new AbortController();
      this.#signalled = 0;
      if (this.#socket.destroyed) this.#controller.abort(clientGone());
    }
    this.#signalled += 1;
    return this.#controller.signal;
  }

  async #serve({ message, response, expectsContinue }: Arrival): Promise<void> {
    const { handler, limits } = this.#options;
    const body = new IncomingBody(message, response, limits.bodyIdleMs, expectsContinue);
    const request = new NodeRequest(message, body, expectsContinue);
    const signal = this.#signal();
    const fault = headFault(message);
    const answered = fault === undefined ? handler(request, signal) : this.#options.refuse(fault);
    const answer = answered instanceof Promise ? await answered : answered;
    if (this.#socket.destroyed) return;
    const sent = this.#send(answer, message.method === "HEAD", response, signal);
    if (sent !== undefined) await sent;
    if (!request.hasBody || message.readableEnded) return;
    const isComing = !body.neverAskedFor;
    body.abandon();
    if (isComing) this.#discard(message);
  }

  #send(answer: HttpResponse, isHead: boolean, response: ServerResponse, signal: AbortSignal): Promise<void> | undefined {
    const { headers, length, body } = answer;
    if (length !== undefined) headers.push("Content-Length", String(length));
    // a body that was cut for time leaves a connection that nobody can make sense of
    this.#announced = this.#options.ending() || answer.status === 408;
    if (this.#announced) headers.push("Connection", "close");
    response.writeHead(answer.status, headers);
    if (isHead || body === undefined) response.end();
    else if (body instanceof Uint8Array) response.end(body);
    else return this.#stream(body, length ?? 0, response, signal);
    if (response.writableLength > 0) this.#socket.setTimeout(this.#options.limits.bodyIdleMs);
    return undefined;
  }

  /** The socket's own timer knows of partial progress: a slow reader is kept, one that reads nothing for the idle limit is cut. */
  async #stream(body: HttpStream, length: number, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const socket = this.#socket;
    const { bodyIdleMs } = this.#options.limits;
    const sink: BodySink = {
      write: (chunk) =>
        new Promise((resolve, reject) => {
          const onAbort = (): void => reject(clientGone());
          signal.addEventListener("abort", onAbort, { once: true });
          socket.setTimeout(bodyIdleMs);
          response.write(chunk, (error) => {
            signal.removeEventListener("abort", onAbort);
            socket.setTimeout(0);
            if (error) reject(error);
            else resolve();
          });
        }),
    };
    await sendBody(sink, body.open(signal), length);
    response.end();
  }

  /** Reads on to save the connection, up to a limit: an answer that comes before the body ends must not be lost to a reset. */
  #discard(message: IncomingMessage): void {
    const { discardBytes, bodyIdleMs } = this.#options.limits;
    const socket = this.#socket;
    let discarded = 0;
    const timer = setTimeout(() => socket.destroy(), bodyIdleMs);
    message.on("data", (chunk: Uint8Array) => {
      discarded += chunk.byteLength;
      if (discarded > discardBytes) socket.destroy();
    });
    message.once("close", () => clearTimeout(timer));
    message.once("end", () => {
      clearTimeout(timer);
      this.#endIfClosing();
    });
    message.resume();
  }
}

/** What node:http lets pass: no Host or several (RFC 9112, 3.2), another version (2.5), and a coding of the body that nobody here undoes (6.1). */
function headFault(message: IncomingMessage): OciError | undefined {
  const { httpVersionMajor, httpVersionMinor, headers, headersDistinct } = message;
  const hosts = headersDistinct.host?.length ?? 0;
  if (hosts > 1 || (hosts === 0 && httpVersionMinor === 1)) {
    return new OciError("REQUEST_INVALID", "an HTTP/1.1 request has to have one Host header");
  }
  if (httpVersionMajor !== 1) return new OciError("REQUEST_INVALID", "HTTP/1.1 is spoken here", { httpStatus: 505 });
  const coding = headers["transfer-encoding"];
  if (coding === undefined || /^chunked$/i.test(coding.trim())) return undefined;
  return new OciError("REQUEST_INVALID", "the only transfer coding that is taken is chunked", { httpStatus: 501 });
}
