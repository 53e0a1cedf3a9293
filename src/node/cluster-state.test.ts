import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { PeerId } from "../core/peer.ts";
import { type ClusterState, readClusterKeys, readClusterState, writeClusterKeys, writeClusterState } from "./cluster-state.ts";

let data: string;
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), "roadstead-state-"));
});
afterEach(() => rm(data, { recursive: true, force: true }));

const PEER = "12D3KooWJZ7R7D3t1UQPtBvM8dvCMxkrtEMDNTnnAW4dwAmSYgkN" as PeerId;
const STATE: ClusterState = {
  clusterId: "c1",
  raftId: 7,
  name: "node-2",
  founding: false,
  hasLog: true,
  peers: [{ raftId: 1, peerId: PEER, addresses: ["/ip4/127.0.0.1/tcp/5100"] }],
};

test("what was written is read again, and only its owner may read it", async () => {
  await writeClusterState(data, STATE);
  await writeClusterKeys(data, { secret: new Uint8Array(32).fill(1), key: new Uint8Array([2, 3]) });
  expect(await readClusterState(data)).toEqual(STATE);
  expect((await readClusterKeys(data)).key).toEqual(Buffer.from([2, 3]));
  for (const name of await readdir(data)) expect((await stat(join(data, name))).mode & 0o777, name).toBe(0o600);
});

test("an empty folder belongs to no cluster", async () => {
  expect(await readClusterState(data)).toBeUndefined();
});

test("a damaged node.json is told, never taken for an empty folder", async () => {
  for (const text of [
    "",
    "{",
    "[]",
    '{"clusterId":"c1"}',
    JSON.stringify({ ...STATE, raftId: 0 }),
    JSON.stringify({ ...STATE, peers: [1] }),
  ]) {
    await writeFile(join(data, "node.json"), text);
    await expect(readClusterState(data), text).rejects.toThrow("node.json is damaged");
  }
});

test("a missing or cut cluster secret is told", async () => {
  await expect(readClusterKeys(data)).rejects.toThrow("copy both from another member");
  await writeClusterKeys(data, { secret: new Uint8Array(31), key: new Uint8Array([2]) });
  await expect(readClusterKeys(data)).rejects.toThrow("copy both from another member");
});
