import type { IncomingMessage, ServerResponse } from "node:http";
import { OciError } from "../../core/errors.ts";
import { handOver } from "../../core/spent-bytes.ts";

/** Held here at most, beyond what the socket holds, before the client is told to wait. */
const HELD_BYTES = 128 * 1024;

/**
 * A request's body, pulled. Node's own iterator destroys the socket when a reader stops early; this one leaves the rest to
 * whoever decides what becomes of the connection. Nothing is read, and `100 Continue` is not sent, before the first pull.
 */
export class IncomingBody implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #idleMs: number;
  readonly #expectsContinue: boolean;
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  #begun = false;
  #ended = false;
  #failure: Error | undefined;
  #waiting: { resolve(step: IteratorResult<Uint8Array>): void; reject(error: Error): void } | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param idleMs how long to wait for the next bytes, counted only while a reader waits for them */
  constructor(request: IncomingMessage, response: ServerResponse, idleMs: number, expectsContinue: boolean) {
    this.#request = request;
    this.#response = response;
    this.#idleMs = idleMs;
    this.#expectsContinue = expectsContinue;
  }

  /** The client is still told to wait, or was promised nothing: it sends its body only if it does not care. */
  get neverAskedFor(): boolean {
    return this.#expectsContinue && !this.#begun;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (!this.#begun) this.#begin();
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const chunk = this.#held.shift();
    if (chunk !== undefined) {
      this.#heldBytes -= chunk.byteLength;
      if (this.#heldBytes < HELD_BYTES && !this.#ended) this.#request.resume();
      return Promise.resolve({ done: false, value: handOver(chunk) });
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#arm();
      this.#request.resume();
    });
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#begun = true;
    this.#ended = true;
    this.#drop();
    this.#detach();
    return Promise.resolve({ done: true, value: undefined });
  }

  #begin(): void {
    this.#begun = true;
    this.#ended = this.#request.readableEnded;
    if (this.#ended) return;
    if (this.#request.destroyed) {
      this.#fail(clientGone());
      return;
    }
    if (this.#expectsContinue && !this.#response.headersSent) this.#response.writeContinue();
    this.#request.on("data", this.#onData);
    this.#request.on("end", this.#onEnd);
    this.#request.on("close", this.#onClose);
  }

  /** The request was answered: a reader that is left behind fails, and must not take what follows for the end of the body. */
  abandon(): void {
    if (this.#ended) return;
    this.#begun = true;
    this.#drop();
    this.#fail(abortError("the request was answered before its body ended"));
  }

  #drop(): void {
    this.#held.length = 0;
    this.#heldBytes = 0;
  }

  #detach(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#request.off("data", this.#onData);
    this.#request.off("end", this.#onEnd);
    this.#request.off("close", this.#onClose);
  }

  #arm(): void {
    if (this.#timer === undefined) this.#timer = setTimeout(this.#onIdle, this.#idleMs);
    else this.#timer.refresh();
  }

  readonly #onData = (chunk: Uint8Array): void => {
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve({ done: false, value: handOver(chunk) });
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.byteLength;
    if (this.#heldBytes >= HELD_BYTES) this.#request.pause();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#detach();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ done: true, value: undefined });
  };

  readonly #onClose = (): void => {
    if (!this.#ended) this.#fail(clientGone());
  };

  readonly #onIdle = (): void => {
    if (this.#waiting === undefined) return; // the reader is the slow one
    this.#fail(
      new OciError("REQUEST_TIMEOUT", `no byte of the body came for ${this.#idleMs} ms: send the rest again`, { idleMs: this.#idleMs }),
    );
  };

  #fail(error: Error): void {
    this.#failure = error;
    this.#detach();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(error);
  }
}

export function clientGone(): Error {
  return abortError("the client went away before its request was done");
}

function abortError(message: string): Error {
  const error = new Error(message);
  error.name = "AbortError";
  return error;
}
