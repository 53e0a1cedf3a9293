import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { digestOf } from "../../src/core/digest.ts";
import type { TestImage } from "./image.ts";

/** docker's: five tries of a layer. It waits longer between them than this does. */
const TRIES = 5;
const PAUSE_MS = 200;

interface Reply {
  readonly status: number;
  readonly location: string | undefined;
  readonly bytes: Uint8Array;
}

class BadStatus extends Error {
  override readonly name = "BadStatus";
  readonly status: number;
  constructor(status: number, what: string) {
    super(`${what}: ${status}`);
    this.status = status;
  }
}

/** A client that has the nodes' addresses from DNS, keeps connections as Go's clients do, and goes to the next address where one takes no connection. */
export class PatientClient {
  readonly #urls: readonly string[];
  readonly #agent = new Agent({ keepAlive: true });
  #turn: number;
  /** Connections that were refused, and those that were reset before a byte of the answer came. */
  refused = 0;
  reset = 0;
  /** Tries of a push after the first. */
  retries = 0;

  /** @param turn the address to begin with */
  constructor(urls: readonly string[], turn: number) {
    this.#urls = urls;
    this.#turn = turn;
  }

  /** No retry of anything but a connection that is not taken; each byte is checked. */
  async pull(repository: string, tag: string, image: TestImage): Promise<void> {
    const manifest = await this.#ask("GET", `/v2/${repository}/manifests/${tag}`, 200);
    if (digestOf(manifest.bytes) !== image.descriptor.digest) throw new Error(`${repository}:${tag} is not the manifest that was pushed`);
    for (const digest of image.blobs.keys()) {
      const blob = await this.#ask("GET", `/v2/${repository}/blobs/${digest}`, 200);
      if (digestOf(blob.bytes) !== digest) throw new Error(`the body of ${digest} has other bytes`);
    }
  }

  /** As docker does: each layer, and the manifest, is tried five times from its beginning. */
  async push(repository: string, tag: string, image: TestImage): Promise<void> {
    for (const [digest, bytes] of image.blobs) await this.#retrying(() => this.#pushBlob(repository, digest, bytes));
    const headers = { "content-type": image.descriptor.mediaType };
    await this.#retrying(() => this.#ask("PUT", `/v2/${repository}/manifests/${tag}`, 201, image.manifest, headers));
  }

  close(): void {
    this.#agent.destroy();
  }

  async #pushBlob(repository: string, digest: string, bytes: Uint8Array): Promise<void> {
    const begun = await this.#ask("POST", `/v2/${repository}/blobs/uploads/`, 202);
    const sent = await this.#ask("PATCH", begun.location ?? "", 202, bytes, { "content-type": "application/octet-stream" });
    await this.#ask("PUT", `${sent.location}?digest=${digest}`, 201);
  }

  async #retrying(attempt: () => Promise<unknown>): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await attempt();
        return;
      } catch (error) {
        const isFinal = error instanceof BadStatus && error.status < 500 && error.status !== 404; // 404: the session is gone with its node
        if (tries === TRIES || isFinal) throw error;
        this.retries += 1;
        await pause(PAUSE_MS * tries);
      }
    }
  }

  async #ask(method: string, path: string, status: number, body?: Uint8Array, headers = {}): Promise<Reply> {
    const first = this.#turn++;
    for (let at = 0; ; at += 1) {
      const url = this.#urls[(first + at) % this.#urls.length]!;
      try {
        const reply = await this.#send(url + path, method, body, headers);
        if (reply.status === status) return reply;
        throw new BadStatus(reply.status, `${method} ${path} at ${url}: ${new TextDecoder().decode(reply.bytes.subarray(0, 300))}`);
      } catch (error) {
        if (!this.#takesNone(error) || at + 1 === this.#urls.length) throw error;
      }
    }
  }

  #takesNone(error: unknown): boolean {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ECONNREFUSED") this.refused += 1;
    else if (error instanceof Unanswered) this.reset += 1;
    else return false;
    return true;
  }

  async #send(url: string, method: string, body: Uint8Array | undefined, headers: Record<string, string>): Promise<Reply> {
    const length = body === undefined && method === "GET" ? {} : { "content-length": body?.byteLength ?? 0 };
    for (;;) {
      const request = httpRequest(url, { method, agent: this.#agent, headers: { ...headers, ...length } });
      request.end(body);
      let answer: IncomingMessage;
      try {
        [answer] = (await once(request, "response")) as [IncomingMessage];
      } catch (error) {
        if (!isReset(error) || body !== undefined) throw error;
        // the node closed a kept connection while this request was on its way: sent again, as every client does
        if (request.reusedSocket) continue;
        throw new Unanswered(`${method} ${url} was reset before an answer`, { cause: error });
      }
      return { status: answer.statusCode ?? 0, location: answer.headers.location, bytes: Buffer.concat(await answer.toArray()) };
    }
  }
}

class Unanswered extends Error {
  override readonly name = "Unanswered";
}

function isReset(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ECONNRESET" || error.code === "EPIPE");
}
