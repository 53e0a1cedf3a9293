import { expect, test } from "vitest";
import { isAbortError, OciError } from "../core/errors.ts";
import { empty } from "./answers.ts";
import { digesting, expected, HOST, MIB, roundTrips, type Start, text } from "./engine-ground.ts";
import { errorResponse } from "./error-response.ts";
import type { HttpRequest } from "./http.ts";

const body = Buffer.alloc(3 * MIB, "roadstead");

export function requestBodyTests(start: Start): void {
  test("http-rule 27: a body comes whole by length and by chunks, with extensions and trailers", async () => {
    const client = await (await start(digesting)).client();
    const sized = await client.ask(`PUT / HTTP/1.1\r\n${HOST}Content-Length: ${body.byteLength}\r\n\r\n`, body);
    expect(sized?.body.toString()).toBe(expected(body));
    client.send(`PUT / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`);
    for (const end of [5, 100_000, body.byteLength]) {
      const from = end === 5 ? 0 : end === 100_000 ? 5 : 100_000;
      client.send(Buffer.concat([Buffer.from(`${(end - from).toString(16)};x=y\r\n`), body.subarray(from, end), Buffer.from("\r\n")]));
    }
    client.send("0\r\nX-Trailer: 1\r\n\r\n");
    expect((await client.answer())?.body.toString()).toBe(expected(body));
    expect((await client.ask(`PUT / HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`))?.body.toString()).toBe(expected(Buffer.alloc(0)));
  });

  test("http-rule 21: 100 Continue is sent when the body is asked for, and not before", async () => {
    const gate = Promise.withResolvers<void>();
    const seen: boolean[] = [];
    const ground = await start(async (request, signal) => {
      if (request.target === "/ping") return text("pong");
      seen.push(request.expectsContinue);
      await gate.promise;
      return digesting(request, signal);
    });
    const client = await ground.client();
    client.send(`PUT / HTTP/1.1\r\n${HOST}Content-Length: ${body.byteLength}\r\nExpect: 100-continue\r\n\r\n`);
    await roundTrips(ground, 5);
    expect(client.socket.bytesRead).toBe(0);
    gate.resolve();
    expect((await client.head())?.status).toBe(100);
    client.send(body);
    expect((await client.answer())?.body.toString()).toBe(expected(body));
    expect(seen).toEqual([true]);
  });

  test("http-rule 21: a refusal comes instead of 100 Continue", async () => {
    const client = await (await start(() => errorResponse(new OciError("BLOB_UPLOAD_UNKNOWN", "none")))).client();
    client.send(`PUT / HTTP/1.1\r\n${HOST}Content-Length: ${body.byteLength}\r\nExpect: 100-continue\r\n\r\n`);
    expect((await client.answer())?.status).toBe(404);
  });

  test("http-rule 12: after an answer without the body being read, the connection is kept where little is left", async () => {
    const client = await (await start((request) => text(request.target))).client();
    expect((await client.ask(`PUT /a HTTP/1.1\r\n${HOST}Content-Length: ${body.byteLength}\r\n\r\n`, body))?.body.toString()).toBe("/a");
    expect((await client.ask(`GET /b HTTP/1.1\r\n${HOST}\r\n`))?.body.toString()).toBe("/b");
  });
}

export function unreadBodyTests(start: Start): void {
  test("a body that nobody reads is cut past the limit, after its answer", async () => {
    const client = await (await start((request) => text(request.target), { discardBytes: MIB })).client();
    client.send(`PUT /a HTTP/1.1\r\n${HOST}Content-Length: ${1000 * MIB}\r\n\r\n`);
    expect((await client.answer())?.body.toString()).toBe("/a");
    for (let index = 0; index < 64; index += 1) client.send(new Uint8Array(MIB));
    await client.closed;
  });

  test("a reader that is left behind by the answer fails, and the connection goes on", async () => {
    const left: Promise<unknown>[] = [];
    const ground = await start(async (request) => {
      const chunks = request.body[Symbol.asyncIterator]();
      await chunks.next();
      const drain = async (): Promise<void> => {
        while (!(await chunks.next()).done);
      };
      left.push(drain().catch(isAbortError));
      return text("answered");
    });
    const client = await ground.client();
    for (let round = 0; round < 2; round += 1) {
      client.send(`PUT / HTTP/1.1\r\n${HOST}Content-Length: ${body.byteLength}\r\n\r\n`);
      client.send(body.subarray(0, 1_000));
      expect((await client.answer())?.body.toString()).toBe("answered");
      expect(await left[round]).toBe(true);
      client.send(body.subarray(1_000));
    }
  });

  test("a reader that stops in the middle of a body answers, and the connection goes on", async () => {
    const ground = await start(async (request) => {
      for await (const chunk of request.body) return text(chunk.byteLength > 0 ? "stopped" : "empty");
      return text("none");
    });
    const client = await ground.client();
    for (let round = 0; round < 3; round += 1) {
      const answer = await client.ask(`PUT / HTTP/1.1\r\n${HOST}Content-Length: ${body.byteLength}\r\n\r\n`, body);
      expect(answer?.body.toString()).toBe("stopped");
    }
  });
}

export function requestPaceTests(start: Start): void {
  test("a body is not read ahead of its reader without bound", async () => {
    const gate = Promise.withResolvers<void>();
    const ground = await start(async (request, signal) => {
      if (request.target === "/ping") return text("pong");
      const chunks = request.body[Symbol.asyncIterator]();
      await chunks.next();
      await gate.promise;
      return digesting({ ...request, body: { [Symbol.asyncIterator]: () => chunks } } as HttpRequest, signal);
    });
    const client = await ground.client();
    client.send(`PUT / HTTP/1.1\r\n${HOST}Content-Length: ${64 * MIB}\r\n\r\n`);
    client.send(new Uint8Array(64 * MIB));
    await roundTrips(ground, 100);
    expect(client.socket.writableLength).toBeGreaterThan(0); // the kernel holds what it can, the client the rest
    gate.resolve();
    expect(Number((await client.answer())?.body.toString().split(" ")[0])).toBeGreaterThan(63 * MIB);
  });

  test("a client that goes away in its body fails the reader with an AbortError", async () => {
    const failed = Promise.withResolvers<unknown>();
    const begun = Promise.withResolvers<void>();
    const ground = await start(async (request, signal) => {
      try {
        for await (const _chunk of request.body) begun.resolve();
        failed.resolve(undefined);
      } catch (error) {
        failed.resolve([isAbortError(error), signal.aborted]);
      }
      return empty(201);
    });
    const client = await ground.client();
    client.send(`PUT / HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nonly this`);
    await begun.promise;
    client.destroy();
    expect(await failed.promise).toEqual([true, expect.any(Boolean)]);
  });

  test("http-rule 27: a body that stands still is a 408 and the end of the connection", async () => {
    const client = await (await start(digesting, { bodyIdleMs: 30 })).client();
    const answer = await client.ask(`PUT / HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nonly this`);
    expect(answer?.status).toBe(408);
    await client.closed;
  });
}

/** Two buffers in turn, each filled anew when the second chunk after it is asked for: the least that the port promises. */
async function* reusing(chunks: number, sizeBytes: number): AsyncIterable<Uint8Array> {
  const buffers = [Buffer.alloc(sizeBytes), Buffer.alloc(sizeBytes)] as const;
  for (let index = 0; index < chunks; index += 1) {
    const buffer = buffers[index % 2] as Buffer;
    buffer.fill(index % 251);
    yield buffer;
  }
}

export function responseBodyTests(start: Start): void {
  test("a stream from two reused buffers arrives unspoilt at a slow reader", async () => {
    const chunks = 40;
    const ground = await start((request) => {
      if (request.target === "/ping") return text("pong");
      return { status: 200, headers: [], length: chunks * MIB, body: { open: () => reusing(chunks, MIB) } };
    });
    const client = await ground.client();
    client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    expect((await client.head())?.headers.get("content-length")).toBe(String(chunks * MIB));
    for (let index = 0; index < chunks; index += 1) {
      if (index % 10 === 0) await roundTrips(ground, 5);
      let wrong = 0;
      await client.take(MIB, (part) => {
        if (!part.every((byte) => byte === index % 251)) wrong += 1;
      });
      expect(wrong, `chunk ${index}`).toBe(0);
    }
    expect((await client.ask(`GET /ping HTTP/1.1\r\n${HOST}\r\n`))?.body.toString()).toBe("pong");
  });

  test.each([
    ["fails", 3],
    ["ends", 2],
    ["goes on too long", 5],
  ])("G6: a source that %s early or late leaves a body that is seen to be cut", async (how, chunks) => {
    async function* source() {
      for (let index = 0; index < chunks; index += 1) {
        if (how === "fails" && index === 2) throw new OciError("UNAVAILABLE", "the peer died");
        yield new Uint8Array(100_000);
      }
    }
    const client = await (await start(() => ({ status: 200, headers: [], length: 450_000, body: { open: source } }))).client();
    const answer = await client.ask(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    expect([answer?.status, answer?.cut]).toEqual([200, true]);
    await client.closed;
  });
}

export function streamPaceTests(start: Start): void {
  test("a reader that reads nothing holds the source back; when it goes, signal and source end", async () => {
    let asked = 0;
    const ended = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const first = Promise.withResolvers<void>();
    async function* source() {
      try {
        for (; asked < 1000; asked += 1) {
          first.resolve();
          yield new Uint8Array(MIB);
        }
      } finally {
        ended.resolve();
      }
    }
    const ground = await start((request, signal) => {
      if (request.target === "/ping") return text("pong");
      signal.addEventListener("abort", () => aborted.resolve());
      return { status: 200, headers: [], length: 1000 * MIB, body: { open: source } };
    });
    const client = await ground.client();
    client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    await first.promise;
    await roundTrips(ground, 100);
    expect(asked).toBeLessThan(100);
    client.destroy();
    await Promise.all([ended.promise, aborted.promise]);
  });

  test("http-rule 27: a reader that reads nothing is cut at the idle limit", async () => {
    const aborted = Promise.withResolvers<void>();
    const ground = await start(
      (_request, signal) => {
        signal.addEventListener("abort", () => aborted.resolve());
        return { status: 200, headers: [], length: 1000 * MIB, body: { open: () => reusing(1000, MIB) } };
      },
      { bodyIdleMs: 60 },
    );
    (await ground.client()).send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    await aborted.promise;
  });
}
