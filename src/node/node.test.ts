import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { callAdmin } from "../cli/admin-client.ts";
import { STATUS_PATH } from "../cli/status.ts";
import { createToken } from "../cli/token.ts";
import { loadConfig } from "../config/load.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { OCI_MANIFEST } from "../core/media-types.ts";
import type { ClusterStatus } from "../http/admin.ts";
import { type Entry, type RunningNode, startNode } from "./start-node.ts";

let folder: string;
let running: RunningNode[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "roadstead-node-"));
});
afterEach(async () => {
  await Promise.all(running.map((node) => node.stop()));
  running = [];
  await rm(folder, { recursive: true, force: true });
});

const BOOTSTRAP: Entry = { bootstrap: true, join: undefined, token: undefined };
const RESTART: Entry = { bootstrap: false, join: undefined, token: undefined };

/** The machine's, on which the repair's passes never come due: only events begin one. */
const PASSLESS: Clock = { ...systemClock, every: (ms, run) => (ms === 30_000 ? () => undefined : systemClock.every(ms, run)) };

async function start(name: string, entry: Entry, clock = systemClock): Promise<RunningNode> {
  const at = { "http.listen": "127.0.0.1:0", "p2p.listen": "127.0.0.1:0" };
  const flags = { data: join(folder, name), "node.name": name, "shutdown.delay": "1ms", ...at };
  const fatal = (error: Error): void => {
    throw error;
  };
  const node = await startNode({ config: loadConfig({ flags }), entry, log: silentLog, fatal, clock });
  running.push(node);
  return node;
}

/** A new cluster of which the node listens for its peers at `p2p`. */
function startAt(p2p: string): Promise<RunningNode> {
  const flags = { data: join(folder, "elsewhere"), "http.listen": "127.0.0.1:0", "p2p.listen": p2p };
  return startNode({ config: loadConfig({ flags }), entry: BOOTSTRAP, log: silentLog, fatal: () => undefined });
}

async function stop(node: RunningNode): Promise<void> {
  running = running.filter((other) => other !== node);
  await node.stop();
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Pushes an image of one layer; @returns its layer and the digests */
async function push(
  node: RunningNode,
  repository: string,
  tag: string,
  layer = randomBytes(5_000_000),
): Promise<{ layer: Buffer; digest: string }> {
  const config = Buffer.from("{}");
  for (const bytes of [layer, config]) {
    const opened = await fetch(`http://${node.http}/v2/${repository}/blobs/uploads/`, { method: "POST" });
    expect(opened.status).toBe(202);
    const location = new URL(opened.headers.get("location") ?? "", `http://${node.http}`);
    location.searchParams.set("digest", sha256(bytes));
    const put = await fetch(location, { method: "PUT", body: new Uint8Array(bytes) });
    expect([put.status, await put.text()]).toEqual([201, ""]);
  }
  const descriptor = (mediaType: string, bytes: Uint8Array): object => ({ mediaType, digest: sha256(bytes), size: bytes.byteLength });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const headers = { "content-type": OCI_MANIFEST };
  const put = await fetch(`http://${node.http}/v2/${repository}/manifests/${tag}`, { method: "PUT", body: manifest, headers });
  expect([put.status, await put.text()]).toEqual([201, ""]);
  return { layer, digest: put.headers.get("docker-content-digest") ?? "" };
}

async function expectPull(node: RunningNode, repository: string, tag: string, layer: Buffer): Promise<void> {
  const manifest = await fetch(`http://${node.http}/v2/${repository}/manifests/${tag}`);
  expect([manifest.status, manifest.headers.get("warning")]).toEqual([200, null]);
  const { layers } = (await manifest.json()) as { layers: { digest: string }[] };
  const blob = await fetch(`http://${node.http}/v2/${repository}/blobs/${layers[0]?.digest}`);
  expect(blob.status).toBe(200);
  expect(Buffer.compare(Buffer.from(await blob.arrayBuffer()), layer)).toBe(0);
}

async function status(node: RunningNode): Promise<ClusterStatus> {
  return (await callAdmin({ socket: node.adminSocket }, "GET", STATUS_PATH)) as ClusterStatus;
}

async function grow(name: string, through: RunningNode, clock = systemClock): Promise<RunningNode> {
  const { token, join: addresses } = await createToken({ socket: through.adminSocket }, { uses: 1, ttl: "1h" });
  return start(name, { bootstrap: false, join: addresses[0], token }, clock);
}

/** Asks again until the cluster says that no blob is short of copies. */
async function untilNoneShort(node: RunningNode): Promise<void> {
  while ((await status(node)).warnings.some((warning) => warning.includes("fewer copies")));
}

test("a node that makes a cluster takes a push, and has it after a restart", async () => {
  const first = await start("a", BOOTSTRAP);
  const { layer } = await push(first, "hello/world", "v1");
  await expectPull(first, "hello/world", "v1", layer);
  await stop(first);
  const again = await start("a", RESTART);
  expect(again.peerId).toBe(first.peerId);
  await expectPull(again, "hello/world", "v1", layer);
  expect((await status(again)).warnings).toEqual([expect.stringContaining("one copy only")]);
});

test("what was pushed right before a node stops is settled by the time it has: no pin waits for its deadline", async () => {
  const node = await start("alone", BOOTSTRAP);
  await push(node, "team/app", "v1", randomBytes(1_000));
  await stop(node);
  expect(await readdir(join(folder, "alone", "pending"))).toEqual([]);
  expect((await readdir(join(folder, "alone", "blobs", "sha256"))).length).toBeGreaterThan(0);
});

test("--bootstrap on a folder that is in a cluster goes on with it", async () => {
  const first = await start("a", BOOTSTRAP);
  const { clusterId } = await status(first);
  await stop(first);
  expect((await status(await start("a", BOOTSTRAP))).clusterId).toBe(clusterId);
});

test("a folder in use, an empty folder without a way in, and an open door are refused in one line", async () => {
  await start("a", BOOTSTRAP);
  await expect(start("a", RESTART)).rejects.toThrow("data folder in use by another process");
  await expect(start("b", RESTART)).rejects.toThrow(/in no cluster yet: make one with --bootstrap, or enter one with --join/);
  await expect(start("b", { bootstrap: false, join: "127.0.0.1:1", token: undefined })).rejects.toThrow("needs --token");
  const flags = { data: join(folder, "c"), "http.listen": "0.0.0.0:0" };
  const open = startNode({ config: loadConfig({ flags }), entry: BOOTSTRAP, log: silentLog, fatal: () => undefined });
  await expect(open).rejects.toThrow("--insecure-open");
  await expect(startAt("192.0.2.1:7000")).rejects.toThrow(
    /^--p2p 192\.0\.2\.1:7000: this machine has no such address \(EADDRNOTAVAIL\); .*--advertise$/,
  );
  await expect(startAt("[fe80::1]:7000")).rejects.toThrow(
    /^--p2p \[fe80::1\]:7000: (?:nothing can listen there|this machine has no such address) \(E[A-Z]+\)/,
  );
  const taken = running[0]?.p2p[0]?.split("/").at(-1);
  await expect(startAt(`127.0.0.1:${taken}`)).rejects.toThrow(
    /^--p2p 127\.0\.0\.1:\d+: another program listens there; stop it, or give another port$/,
  );
});

test("G1: a member whose Raft log is gone is refused: it may have forgotten what it acknowledged", async () => {
  await stop(await start("a", BOOTSTRAP));
  await rm(join(folder, "a", "raft"), { recursive: true });
  await expect(start("a", BOOTSTRAP)).rejects.toThrow("may have forgotten what it promised");
});

test("G2, G4: what is pushed through one node of three is pulled through the others", async () => {
  const a = await start("a", BOOTSTRAP);
  const b = await grow("b", a);
  const c = await grow("c", b);
  const { layer } = await push(b, "team/app", "v1");
  for (const node of [a, b, c]) await expectPull(node, "team/app", "v1", layer);
  const seen = await status(c);
  expect(seen.nodes.map(({ name, alive }) => [name, alive])).toEqual([
    ["a", true],
    ["b", true],
    ["c", true],
  ]);
  expect(["a", "b", "c"]).toContain(seen.leader);
  for (const { name, disk } of seen.nodes) {
    expect(disk, `${name} tells of its disk`).toMatchObject({ low: expect.stringMatching(/^(?:no|blobs|writes)$/) });
    expect(disk?.freeBytes).toBeGreaterThan(0);
  }
});

test("G1: what was pushed while a member was away is copied to it when it is connected again, before the repair looks by itself", async () => {
  const a = await start("a", BOOTSTRAP, PASSLESS);
  const b = await grow("b", a, PASSLESS);
  const c = await grow("c", b, PASSLESS);
  await push(a, "team/app", "v1");
  await untilNoneShort(a);
  await stop(c);
  await push(a, "team/app", "v2");
  expect((await status(a)).warnings).toContainEqual(expect.stringContaining("fewer copies"));
  await start("c", RESTART, PASSLESS);
  await untilNoneShort(a);
});

test("a join token that is used up, or of another cluster, lets nobody in", async () => {
  const a = await start("a", BOOTSTRAP);
  const { token, join: addresses } = await createToken({ socket: a.adminSocket }, { uses: 1, ttl: "1h" });
  await start("b", { bootstrap: false, join: addresses[0], token });
  await expect(start("c", { bootstrap: false, join: addresses[0], token })).rejects.toThrow(
    'is used up: make another with "roadstead token create"',
  );
  const other = await start("other", BOOTSTRAP);
  const foreign = await createToken({ socket: other.adminSocket }, { uses: 1, ttl: "1h" });
  await expect(start("d", { bootstrap: false, join: addresses[0], token: foreign.token })).rejects.toThrow("belongs to another cluster");
});
