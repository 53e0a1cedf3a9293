import { connect, type Socket } from "node:net";

export interface RawResponse {
  readonly status: number;
  /** Names in lowercase; what repeats is joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** The connection ended before the body was whole. */
  readonly cut: boolean;
}

/** For tests alone: a client that sends bytes as they are, reads no faster than it is asked to, and parses answers by itself. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  readonly #chunks: AsyncIterator<Buffer>;
  #buffer: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  static open(port: number): Promise<RawClient> {
    return RawClient.over(connect({ port, host: "127.0.0.1" }), "connect");
  }

  static over(socket: Socket, event: "connect" | "secureConnect"): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      socket.once(event, () => resolve(new RawClient(socket)));
      socket.once("error", reject);
    });
  }

  send(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  /** One request and its answer. */
  async ask(head: string, body: Uint8Array | string = ""): Promise<RawResponse | undefined> {
    this.send(head);
    if (body.length > 0) this.send(body);
    return this.answer(head.startsWith("HEAD "));
  }

  /** The head of the next answer, 1xx included; undefined where the connection ends first. */
  async head(): Promise<{ status: number; headers: Map<string, string> } | undefined> {
    let end = this.#buffer.indexOf("\r\n\r\n");
    while (end < 0) {
      if (!(await this.#pull())) return undefined;
      end = this.#buffer.indexOf("\r\n\r\n");
    }
    const [line = "", ...lines] = this.#buffer.subarray(0, end).toString("latin1").split("\r\n");
    this.#buffer = this.#buffer.subarray(end + 4);
    const headers = new Map<string, string>();
    for (const text of lines) {
      const name = text.slice(0, text.indexOf(":")).toLowerCase();
      const value = text.slice(text.indexOf(":") + 1).trim();
      headers.set(name, headers.has(name) ? `${headers.get(name)},${value}` : value);
    }
    return { status: Number(line.split(" ")[1]), headers };
  }

  /** The next answer, whole. */
  async answer(toHead = false): Promise<RawResponse | undefined> {
    const head = await this.head();
    if (head === undefined) return undefined;
    const length = toHead || head.status === 304 || head.status === 204 ? 0 : Number(head.headers.get("content-length") ?? 0);
    const parts: Buffer[] = [];
    const received = await this.take(length, (chunk) => parts.push(chunk));
    return { ...head, body: Buffer.concat(parts), cut: received < length };
  }

  /** Takes `length` bytes, chunk by chunk, and answers how many came. */
  async take(length: number, onChunk: (chunk: Buffer) => void): Promise<number> {
    let left = length;
    while (left > 0) {
      if (this.#buffer.byteLength === 0 && !(await this.#pull())) break;
      const chunk = this.#buffer.subarray(0, left);
      this.#buffer = this.#buffer.subarray(chunk.byteLength);
      left -= chunk.byteLength;
      onChunk(chunk);
    }
    return length - left;
  }

  destroy(): void {
    this.socket.destroy();
  }

  async #pull(): Promise<boolean> {
    try {
      const step = await this.#chunks.next();
      if (step.done) return false;
      this.#buffer = this.#buffer.byteLength === 0 ? step.value : Buffer.concat([this.#buffer, step.value]);
      return true;
    } catch {
      return false; // reset: for a test the same as an end
    }
  }
}
