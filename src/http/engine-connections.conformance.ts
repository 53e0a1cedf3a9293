import { expect, test } from "vitest";
import { empty } from "./answers.ts";
import { HOST, type Start, text } from "./engine-ground.ts";
import type { HttpResponse } from "./http.ts";

export function connectionTests(start: Start): void {
  test("http-rule 27: a connection is kept for the next request", async () => {
    const client = await (await start((request) => text(request.target))).client();
    for (const target of ["/a", "/b?c=d", "/"]) {
      const answer = await client.ask(`GET ${target} HTTP/1.1\r\n${HOST}\r\n`);
      expect([answer?.status, answer?.body.toString()]).toEqual([200, target]);
    }
  });

  test("http-rule 27: pipelined requests are answered in their order, one at a time", async () => {
    let running = 0;
    let most = 0;
    const ground = await start(async (request) => {
      running += 1;
      most = Math.max(most, running);
      for (let turns = request.target === "/0" ? 20 : 1; turns > 0; turns -= 1) await new Promise(setImmediate);
      running -= 1;
      return text(request.target);
    });
    const client = await ground.client();
    client.send(Array.from({ length: 50 }, (_, index) => `GET /${index} HTTP/1.1\r\n${HOST}\r\n`).join(""));
    for (let index = 0; index < 50; index += 1) expect((await client.answer())?.body.toString()).toBe(`/${index}`);
    expect(most).toBe(1);
  });
}

export function answerTests(start: Start): void {
  test("http-rule 11: a HEAD has the head of the GET and no body, and the connection goes on", async () => {
    const client = await (await start((request) => text(`${request.method} answer`))).client();
    const head = await client.ask(`HEAD / HTTP/1.1\r\n${HOST}\r\n`);
    expect([head?.status, head?.headers.get("content-length")]).toEqual([200, "11"]);
    expect((await client.ask(`GET / HTTP/1.1\r\n${HOST}\r\n`))?.body.toString()).toBe("GET answer");
  });

  test("a HEAD never opens the stream of its answer", async () => {
    let opened = 0;
    const stream = {
      open() {
        opened += 1;
        return (async function* () {})();
      },
    };
    const client = await (await start(() => ({ status: 200, headers: [], length: 5_000, body: stream }))).client();
    expect((await client.ask(`HEAD / HTTP/1.1\r\n${HOST}\r\n`))?.headers.get("content-length")).toBe("5000");
    expect(opened).toBe(0);
  });

  test("204 and 304 have no body and no length, 201 the length 0; a header may repeat", async () => {
    const answers: Record<string, HttpResponse> = {
      "/1": empty(204),
      "/2": empty(304),
      "/3": empty(201, ["OCI-Tag", "a", "OCI-Tag", "b"]),
    };
    const client = await (await start((request) => answers[request.target] as HttpResponse)).client();
    for (const [target, length] of [
      ["/1", undefined],
      ["/2", undefined],
      ["/3", "0"],
    ]) {
      const answer = await client.ask(`GET ${target} HTTP/1.1\r\n${HOST}\r\n`);
      expect(answer?.headers.get("content-length")).toBe(length);
      if (target === "/3") expect(answer?.headers.get("oci-tag")).toBe("a,b");
    }
  });

  test("an absolute target is taken as its path and query", async () => {
    const client = await (await start((request) => text(`${request.path} ${request.query}`))).client();
    expect((await client.ask(`GET http://x/v2/a?b=c HTTP/1.1\r\n${HOST}\r\n`))?.body.toString()).toBe("/v2/a b=c");
  });

  test("the signal aborts when a client goes away while its request is handled", async () => {
    const begun = Promise.withResolvers<AbortSignal>();
    const aborted = Promise.withResolvers<void>();
    const ground = await start((_request, signal) => {
      signal.addEventListener("abort", () => aborted.resolve());
      begun.resolve(signal);
      return new Promise(() => undefined);
    });
    const client = await ground.client();
    client.send(`GET / HTTP/1.1\r\n${HOST}\r\n`);
    expect((await begun.promise).aborted).toBe(false);
    client.destroy();
    await aborted.promise;
  });
}
