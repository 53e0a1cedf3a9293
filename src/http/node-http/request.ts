import type { IncomingMessage } from "node:http";
import { type HttpRequest, splitTarget } from "../http.ts";
import type { IncomingBody } from "./incoming-body.ts";

/** A request of node:http as the port has it; what costs is done when it is asked for. */
export class NodeRequest implements HttpRequest {
  readonly method: string;
  readonly target: string;
  readonly path: string;
  readonly query: string;
  readonly hasBody: boolean;
  readonly contentLength: number | undefined;
  readonly expectsContinue: boolean;
  readonly body: IncomingBody;
  readonly #message: IncomingMessage;

  constructor(message: IncomingMessage, body: IncomingBody, expectsContinue: boolean) {
    this.#message = message;
    this.method = message.method ?? "";
    this.target = message.url ?? "";
    const { path, query } = splitTarget(this.target);
    this.path = path;
    this.query = query;
    const { headers } = message;
    const chunked = headers["transfer-encoding"] !== undefined;
    const length = headers["content-length"];
    this.contentLength = chunked || length === undefined ? undefined : Number(length);
    this.hasBody = chunked || (this.contentLength !== undefined && this.contentLength > 0);
    this.expectsContinue = expectsContinue;
    this.body = body;
  }

  get remoteAddress(): string {
    return this.#message.socket.remoteAddress ?? "";
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return typeof value === "string" ? value : value?.join(", ");
  }
}
