import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { silentLog } from "../../core/log.ts";
import { seededRandom } from "../../core/random.ts";
import { discard } from "../../core/spent-bytes.ts";
import { json } from "../answers.ts";
import type { HttpListener } from "../http.ts";
import { DEFAULT_LIMITS } from "../limits.ts";
import { RawClient } from "../raw-client.ts";
import { selfSigned } from "./self-signed.ts";
import { listenHttp } from "./server.ts";

const COMMON = { limits: DEFAULT_LIMITS, log: silentLog, random: seededRandom(1) };
const ASK = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const handler = () => json(200, { here: true });
let folder = "";
const listeners: HttpListener[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-http-"));
});

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close(0);
  await rm(folder, { recursive: true });
});

async function listen(options: Parameters<typeof listenHttp>[1]): Promise<HttpListener> {
  const listener = await listenHttp(handler, options);
  listeners.push(listener);
  return listener;
}

test("TLS from files serves the same answers, and bytes that are no TLS end the connection alone", async () => {
  const { cert, key } = selfSigned();
  const tls = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  await writeFile(tls.certFile, cert);
  await writeFile(tls.keyFile, key);
  const { port } = await listen({ host: "127.0.0.1", port: 0, tls, ...COMMON });
  const plain = await RawClient.open(port);
  plain.send(ASK);
  await plain.closed;
  const socket = connectTls({ port, host: "127.0.0.1", ca: cert, checkServerIdentity: () => undefined });
  const client = await RawClient.over(socket, "secureConnect");
  for (let count = 0; count < 2; count += 1) expect((await client.ask(ASK))?.body.toString()).toBe('{"here":true}');
  client.destroy();
});

test("a closing TLS server answers what runs", async () => {
  const { cert, key } = selfSigned();
  const tls = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  await writeFile(tls.certFile, cert);
  await writeFile(tls.keyFile, key);
  const gate = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const slow = async () => {
    begun.resolve();
    await gate.promise;
    return json(200, { late: true });
  };
  const listener = await listenHttp(slow, { host: "127.0.0.1", port: 0, tls, ...COMMON });
  const client = await RawClient.over(connectTls({ port: listener.port, host: "127.0.0.1", rejectUnauthorized: false }), "secureConnect");
  client.send(ASK);
  await begun.promise;
  const closed = listener.close(60_000);
  gate.resolve();
  expect((await client.answer())?.body.toString()).toBe('{"late":true}');
  await closed;
});

test("a unix socket is 0600, replaces a stale one, and refuses to replace a file", async () => {
  const socketPath = join(folder, "admin.sock");
  for (let count = 0; count < 2; count += 1) {
    const listener = await listenHttp(handler, { socketPath, ...COMMON });
    expect(listener.address).toBe(socketPath);
    expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
    const client = await RawClient.over(connect(socketPath), "connect");
    expect((await client.ask(ASK))?.status).toBe(200);
    client.destroy();
    await listener.close(0);
  }
  const file = join(folder, "file");
  await writeFile(file, "x");
  await expect(listenHttp(handler, { socketPath: file, ...COMMON })).rejects.toThrow("EADDRINUSE");
});

test("a port in use is the system's error", async () => {
  const { port, address } = await listen({ host: "127.0.0.1", port: 0, ...COMMON });
  expect(address).toBe(`127.0.0.1:${port}`);
  await expect(listenHttp(handler, { host: "127.0.0.1", port, ...COMMON })).rejects.toThrow("EADDRINUSE");
});

test("an IPv6 address is served and announced in brackets", async () => {
  const { port, address } = await listen({ host: "::1", port: 0, ...COMMON });
  expect(address).toBe(`[::1]:${port}`);
  const client = await RawClient.over(connect({ host: "::1", port }), "connect");
  expect((await client.ask(ASK))?.status).toBe(200);
  client.destroy();
});

test("a reader may free the chunks of a body that it has used: one that does holds no memory", async () => {
  const sizes: number[] = [];
  const listener = await listenHttp(
    async (request) => {
      for await (const chunk of request.body) {
        discard(chunk);
        sizes.push(chunk.byteLength);
      }
      return json(200, {});
    },
    { host: "127.0.0.1", port: 0, ...COMMON },
  );
  listeners.push(listener);
  const body = Buffer.alloc(4 * 1024 * 1024, 1);
  const client = await RawClient.open(listener.port);
  expect((await client.ask(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.byteLength}\r\n\r\n`, body))?.status).toBe(200);
  expect(sizes.filter((size) => size >= 16 * 1024)).toEqual([]);
  client.destroy();
});
