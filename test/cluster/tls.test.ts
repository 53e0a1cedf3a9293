import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type PeerCertificate } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { digestOf } from "../../src/core/digest.ts";
import { selfSigned } from "../../src/http/node-http/self-signed.ts";
import type { Answer } from "../harness/client.ts";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";
import { endOf } from "../harness/command.ts";
import { makeImage, noise, type TestImage } from "../harness/image.ts";

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === "::1"));
const pair = selfSigned();
let folder: string;
let cluster: Cluster;
let node: ClusterNode;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-tls-"));
  const certFile = join(folder, "cert.pem");
  const keyFile = join(folder, "key.pem");
  await writeFile(certFile, pair.cert);
  await writeFile(keyFile, pair.key, { mode: 0o600 });
  cluster = await startCluster({ nodes: 1, env: { ROADSTEAD_HTTP_TLS_CERT: certFile, ROADSTEAD_HTTP_TLS_KEY: keyFile } });
  node = cluster.nodes[0]!;
});
afterAll(async () => {
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** One request over HTTPS, with the node's certificate as the only authority. */
function ask(
  method: string,
  host: string,
  port: number,
  path: string,
  headers: Record<string, string> = {},
  body?: Uint8Array,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { method, host, port, path, headers, ca: pair.cert, servername: "localhost", agent: false } as const;
    const sent = request(options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const got = new Headers(Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)]));
        resolve({ status: answer.statusCode ?? 0, headers: got, bytes: Buffer.concat(chunks) });
      });
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function pushAndPull(host: string, port: number, image: TestImage): Promise<void> {
  const base = "/v2/tls/app";
  for (const [digest, bytes] of image.blobs) {
    const begun = await ask("POST", host, port, `${base}/blobs/uploads/`);
    const location = begun.headers.get("location")!;
    expect(location, "no scheme that a proxy in front would have changed").toMatch(/^\//);
    const half = Math.ceil(bytes.byteLength / 2);
    const chunk = { "content-type": "application/octet-stream", "content-range": `0-${half - 1}` };
    expect((await ask("PATCH", host, port, location, chunk, bytes.subarray(0, half))).status).toBe(202);
    expect((await ask("PUT", host, port, `${location}?digest=${digest}`, {}, bytes.subarray(half))).status).toBe(201);
  }
  const headers = { "content-type": image.descriptor.mediaType };
  expect((await ask("PUT", host, port, `${base}/manifests/v1`, headers, image.manifest)).status).toBe(201);
  const manifest = await ask("GET", host, port, `${base}/manifests/v1`);
  expect(digestOf(manifest.bytes)).toBe(image.descriptor.digest);
  for (const digest of image.blobs.keys()) expect(digestOf((await ask("GET", host, port, `${base}/blobs/${digest}`)).bytes)).toBe(digest);
}

function shownCertificate(port: number): Promise<{ certificate: PeerCertificate; protocol: string | null }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, ca: pair.cert, servername: "localhost" }, () => {
      resolve({ certificate: socket.getPeerCertificate(), protocol: socket.getProtocol() });
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

test("with a certificate and its key the node speaks HTTPS: push and pull, and no plain HTTP on that port", async () => {
  await pushAndPull("127.0.0.1", node.port, makeImage(5, 2, 3_000_000));
  const { certificate, protocol } = await shownCertificate(node.port);
  expect(certificate.subject.CN).toBe("localhost");
  expect(protocol).toMatch(/^TLSv1\.[23]$/);
  await expect(fetch(`http://127.0.0.1:${node.port}/v2/`)).rejects.toThrow();
});

test("a node that was given TLS files which do not fit each other, or are not there, does not start, in one line that names them", async () => {
  const other = join(folder, "other-key.pem");
  await writeFile(other, selfSigned().key);
  const start = (cert: string, key: string) =>
    endOf([
      ...["serve", "--data", join(folder, "refused"), "--bootstrap", "--http", "127.0.0.1:0", "--p2p", "127.0.0.1:0"],
      ...["--http-tls-cert", cert, "--http-tls-key", key],
    ]);
  for (const key of [other, join(folder, "absent.pem")]) {
    const ended = await start(join(folder, "cert.pem"), key);
    expect(ended.code, ended.stderr).toBe(1);
    expect(ended.stderr.trimEnd().split("\n"), ended.stderr).toHaveLength(1);
    expect(ended.stderr).toContain(key);
    expect(ended.stderr).toContain("expected two PEM files");
    expect(ended.stderr).not.toMatch(/\n\s+at /);
  }
});

test.skipIf(!hasIpv6)(`clients connect over IPv6${hasIpv6 ? "" : " (skipped: this machine has no ::1)"}`, async () => {
  await node.kill("SIGTERM");
  await node.start(["--http", "[::1]:0"]);
  const { http } = await node.logged((line) => line.msg === "ready");
  const port = Number(/^\[::1\]:(\d+)$/.exec(String(http))?.[1]);
  expect(port, String(http)).toBeGreaterThan(0);
  await pushAndPull("::1", port, makeImage(6, 1, 200_000));
  const bytes = noise(1, 100);
  expect((await ask("POST", "::1", port, `/v2/tls/six/blobs/uploads/?digest=${digestOf(bytes)}`, {}, bytes)).status).toBe(201);
});
