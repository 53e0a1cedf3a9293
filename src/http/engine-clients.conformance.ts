import { expect, test } from "vitest";
import { json } from "./answers.ts";
import { digesting, HOST, isSpecError, roundTrips, type Start, text } from "./engine-ground.ts";
import { RawClient } from "./raw-client.ts";

export function badClientTests(start: Start): void {
  test("http-rule 27: a head that does not come in time is a 408 in the spec's JSON", async () => {
    const client = await (await start(() => text("x"), { headMs: 50 })).client();
    const answer = await client.ask("GET / HTTP/1.1\r\nX-Slow: ");
    expect([answer?.status, isSpecError(answer)]).toEqual([408, true]);
    await client.closed;
  });

  test("http-rule 27: a head over its limit is a 431 in the spec's JSON", async () => {
    const client = await (await start(() => text("x"), { headBytes: 8_192 })).client();
    const answer = await client.ask(`GET / HTTP/1.1\r\n${HOST}X-Long: ${"x".repeat(9_000)}\r\n\r\n`);
    expect([answer?.status, isSpecError(answer)]).toEqual([431, true]);
    await client.closed;
  });

  test("CONNECT is refused, an Upgrade is passed over", async () => {
    const ground = await start((request) => text(request.method));
    const refused = await (await ground.client()).ask(`CONNECT x:1 HTTP/1.1\r\n${HOST}\r\n`);
    expect([refused?.status, isSpecError(refused)]).toEqual([405, true]);
    const upgrade = `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
    expect((await (await ground.client()).ask(upgrade))?.body.toString()).toBe("GET");
  });

  test("a connection that sends far more requests than it reads answers of is cut", async () => {
    const ground = await start((request) => (request.target === "/ping" ? text("pong") : new Promise(() => undefined)), { pipelined: 10 });
    const client = await ground.client();
    for (let index = 0; index < 20; index += 1) client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    await client.closed;
  });
}

export function malformedTests(start: Start): void {
  test.each([
    ["bytes that are no HTTP", "\x16\x03\x01\x02\x00 hello\r\n\r\n"],
    ["no Host", "GET / HTTP/1.1\r\n\r\n"],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"],
    ["two lengths", `PUT / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`],
    ["length and chunks", `PUT / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`],
    ["a bad length", `PUT / HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`],
    ["a bad chunk", `PUT / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
    ["a space before the colon", `GET / HTTP/1.1\r\n${HOST}X : y\r\n\r\n`],
    ["a bare control character in a header", `GET / HTTP/1.1\r\n${HOST}X: a\x00b\r\n\r\n`],
  ])("http-rule 27: %s is a 400 in the spec's JSON", async (_what, bytes) => {
    const ground = await start(digesting);
    const client = await ground.client();
    const answer = await client.ask(bytes);
    expect([answer?.status, isSpecError(answer)]).toEqual([400, true]);
    await roundTrips(ground, 1); // and the server lives
  });

  test.each([
    ["another version of HTTP", 505, `GET / HTTP/2.0\r\n${HOST}\r\n`],
    [
      "a coding of the body that nobody undoes",
      501,
      `PUT / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`,
    ],
  ])("http-rule 27: %s is refused as %i", async (_what, status, bytes) => {
    const ground = await start(digesting);
    const answer = await (await ground.client()).ask(bytes);
    expect([answer?.status, isSpecError(answer)]).toEqual([status, true]);
  });

  test("http-rule 27: what is malformed behind a good request is answered after it", async () => {
    const gate = Promise.withResolvers<void>();
    const ground = await start(async (request) => {
      if (request.target === "/ping") return text("pong");
      await gate.promise;
      return text("good");
    });
    const client = await ground.client();
    client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    client.send("garbage\r\n\r\n");
    await roundTrips(ground, 5);
    gate.resolve();
    expect((await client.answer())?.body.toString()).toBe("good");
    expect((await client.answer())?.status).toBe(400);
    await client.closed;
  });
}

export function closingTests(start: Start): void {
  test("a running request is answered, idle connections end, and no new one is taken", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const ground = await start(async (request) => {
      if (request.target !== "/") return text("at once");
      begun.resolve();
      await gate.promise;
      return json(200, { done: true });
    });
    const [idle, fresh, unused] = [await ground.client(), await ground.client(), await ground.client()];
    await idle.ask(`GET /idle HTTP/1.1\r\n${HOST}\r\n`);
    await roundTrips(ground, 1); // all of them have been taken
    const busy = await ground.client();
    busy.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    await begun.promise;
    const closed = ground.listener.close(60_000);
    await idle.closed;
    const late = await fresh.ask(`GET /late HTTP/1.1\r\n${HOST}\r\n`);
    expect([late?.status, late?.headers.get("connection")], "the first request of a connection that was taken before").toEqual([
      200,
      "close",
    ]);
    await unused.closed;
    await expect(RawClient.open(ground.port)).rejects.toThrow("ECONNREFUSED");
    gate.resolve();
    const answer = await busy.answer();
    expect([answer?.status, answer?.headers.get("connection")]).toEqual([200, "close"]);
    await Promise.all([closed, busy.closed]);
  });

  test("what still runs at the drain deadline is cut", async () => {
    const begun = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const ground = await start((_request, signal) => {
      signal.addEventListener("abort", () => aborted.resolve());
      begun.resolve();
      return new Promise(() => undefined);
    });
    const client = await ground.client();
    client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    await begun.promise;
    await ground.listener.close(20);
    await Promise.all([client.closed, aborted.promise]);
  });
}

export function lastAnswerTests(start: Start): void {
  test("before it closes, a server may have every answer end its connection, and goes on taking new ones", async () => {
    const ground = await start((request) => text(request.target));
    const kept = await ground.client();
    expect((await kept.ask(`GET /a HTTP/1.1\r\n${HOST}\r\n`))?.headers.get("connection")).not.toBe("close");
    ground.listener.endConnections();
    for (const client of [kept, await ground.client()]) {
      expect((await client.ask(`GET /b HTTP/1.1\r\n${HOST}\r\n`))?.headers.get("connection")).toBe("close");
      await client.closed;
    }
  });

  test("an answer that began before the server closes ends whole, and its connection with it", async () => {
    const gate = Promise.withResolvers<void>();
    const half = Buffer.alloc(100_000, 1); // beyond what is gathered before the head is sent
    async function* body() {
      yield half;
      await gate.promise;
      yield half;
    }
    const ground = await start(() => ({ status: 200, headers: [], length: 2 * half.byteLength, body: { open: body } }));
    const client = await ground.client();
    client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    expect((await client.head())?.headers.get("connection")).not.toBe("close");
    const closed = ground.listener.close(60_000);
    gate.resolve();
    expect(await client.take(2 * half.byteLength, () => undefined)).toBe(2 * half.byteLength);
    await Promise.all([closed, client.closed]);
  });
}
