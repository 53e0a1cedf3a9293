import { once } from "node:events";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { digestOf } from "../../src/core/digest.ts";
import { ask, pushBlob } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { noise } from "../harness/image.ts";

/** More than the sockets of both ends and the node's own buffers hold, so that a client that reads nothing has something to come. */
const LARGE = noise(5, 24 * 1024 * 1024);
const HALF = 300_000;

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

/** A download of which the client has read nothing but the head. */
async function beginDownload(node: ClusterNode, path: string): Promise<IncomingMessage> {
  const asked = httpRequest(node.url + path, { agent: false }).end();
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  expect(answer.statusCode).toBe(200);
  return answer;
}

async function digestOfRest(answer: IncomingMessage): Promise<string> {
  return digestOf(Buffer.concat(await answer.toArray()));
}

interface HalfSent {
  readonly location: string;
  readonly request: ClientRequest;
}

/** An upload whose session lives on `owner`, and the first bytes of which have gone to `door`. */
async function beginUpload(owner: ClusterNode, door: ClusterNode, bytes: Uint8Array): Promise<HalfSent> {
  const opened = await ask("POST", `${owner.url}/v2/stop/app/blobs/uploads/`);
  const location = opened.headers.get("location")!;
  const headers = { "content-type": "application/octet-stream", "content-length": bytes.byteLength, expect: "100-continue" };
  const request = httpRequest(door.url + location, { method: "PATCH", headers, agent: false });
  request.flushHeaders();
  await once(request, "continue"); // the session was found, and its owner asks for the bytes
  await new Promise((sent) => request.write(bytes.subarray(0, HALF), sent));
  return { location, request };
}

async function endUpload({ request }: HalfSent, bytes: Uint8Array): Promise<number | undefined> {
  request.end(bytes.subarray(HALF));
  const [answer] = (await once(request, "response")) as [IncomingMessage];
  answer.resume();
  return answer.statusCode;
}

/** Asks for connections until there is none to be had. */
async function untilRefused(node: ClusterNode): Promise<void> {
  for (;;) {
    const socket = connect(node.port, "127.0.0.1");
    const refused = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(false));
      socket.once("error", () => resolve(true));
    });
    socket.destroy();
    if (refused) return;
  }
}

test("at SIGTERM a node says that it is not ready and serves on, hands leadership over, ends what runs, for clients and for other nodes, and exits in order", async () => {
  const running = await startCluster({ env: { ROADSTEAD_SHUTDOWN_DELAY: "2s", ROADSTEAD_SHUTDOWN_TIMEOUT: "150s" } });
  cluster = running;
  const node = await running.leader();
  const other = running.nodes.find((each) => each !== node)!;
  const large = await pushBlob(() => node.url, "stop/app", LARGE);
  const [direct, forwarded] = [noise(6, 2 * HALF), noise(7, 2 * HALF)];
  const download = await beginDownload(node, `/v2/stop/app/blobs/${large}`);
  const uploads = [await beginUpload(node, node, direct), await beginUpload(node, other, forwarded)] as const;

  const ended = node.kill("SIGTERM");
  await node.logged(({ msg }) => msg === "stopping");
  const ready = await ask("GET", `${node.url}/readyz`);
  expect([ready.status, ready.headers.get("connection")]).toEqual([503, "close"]);
  expect(JSON.parse(new TextDecoder().decode(ready.bytes))).toMatchObject({ ready: false, stopping: true });
  expect((await ask("GET", `${node.url}/v2/`)).status, "what comes now is still served").toBe(200);
  for (;;) if (![node.name, undefined, null].includes((await running.status(other)).leader)) break;
  await untilRefused(node);
  expect(node.running, "it waits for what runs").toBe(true);

  expect(await endUpload(uploads[0], direct)).toBe(202);
  expect(await endUpload(uploads[1], forwarded)).toBe(202);
  expect(await digestOfRest(download)).toBe(large);
  expect(await ended).toBe(0);
  expect(node.log.filter(({ level }) => level === "error")).toEqual([]);

  await node.start();
  for (const [at, bytes] of [direct, forwarded].entries()) {
    const digest = digestOf(bytes);
    expect((await ask("PUT", `${other.url}${uploads[at]!.location}?digest=${digest}`)).status, "its sessions go on").toBe(201);
    expect(digestOf((await ask("GET", `${node.url}/v2/stop/app/blobs/${digest}`)).bytes)).toBe(digest);
  }
});

test("what runs longer than shutdown.timeout is cut, and the node exits in order; a second signal ends it at once", async () => {
  const running = await startCluster({ nodes: 1, env: { ROADSTEAD_SHUTDOWN_DELAY: "1ms", ROADSTEAD_SHUTDOWN_TIMEOUT: "300ms" } });
  cluster = running;
  const [node] = running.nodes as [ClusterNode];
  const large = await pushBlob(() => node.url, "stop/app", LARGE);
  const download = await beginDownload(node, `/v2/stop/app/blobs/${large}`);
  expect(await node.kill("SIGTERM")).toBe(0);
  await expect(digestOfRest(download)).rejects.toThrow("aborted");
  await node.logged(({ msg }) => typeof msg === "string" && msg.startsWith("what still ran after shutdown.timeout was cut"));

  await node.start(["--shutdown-timeout", "24h"]);
  const again = await beginDownload(node, `/v2/stop/app/blobs/${large}`);
  const ended = node.kill("SIGTERM");
  await node.logged(({ msg }) => msg === "stopping");
  void node.kill("SIGTERM");
  expect(await ended).toBe(1);
  await expect(digestOfRest(again)).rejects.toThrow("aborted");
});
