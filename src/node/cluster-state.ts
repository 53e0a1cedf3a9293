import { randomBytes } from "node:crypto";
import { type FileHandle, open, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "../core/errors.ts";
import { type PeerId, parsePeerId, type RaftId } from "../core/peer.ts";
import { NodeError } from "./node-error.ts";

/** What this node knows of its place before its catalog can be read: `node.json`. */
export interface ClusterState {
  readonly clusterId: string;
  /** What the cluster was before it was recovered; the catalog may still be of that one. */
  readonly formerCluster?: string | undefined;
  readonly raftId: RaftId;
  readonly name: string;
  /** The node that makes the cluster, until that has applied: only then may its log begin anew. */
  readonly founding: boolean;
  /** Its log has been opened: from then on a log that is gone is a loss, never a beginning. */
  readonly hasLog: boolean;
  /** Members as the cluster told them at the join: who is spoken to until the catalog is there. */
  readonly peers: readonly Peer[];
}

export interface Peer {
  readonly raftId: RaftId;
  readonly peerId: PeerId;
  readonly addresses: readonly string[];
}

/** Shared by all members, never in the catalog (design.md, "Joining, leaving, losing"). */
export interface ClusterKeys {
  /** 32 bytes; seals what is sealed in the catalog. */
  readonly secret: Uint8Array;
  /** Ed25519 private key, PKCS8 DER. */
  readonly key: Uint8Array;
}

const STATE_FILE = "node.json";
const SECRET_FILE = "cluster.secret";
const KEY_FILE = "cluster.key";
const SECRET_SIZE_BYTES = 32;

/** Undefined where the folder belongs to no cluster yet. @throws NodeError where the file is damaged */
export async function readClusterState(data: string): Promise<ClusterState | undefined> {
  const bytes = await readIfThere(join(data, STATE_FILE));
  if (bytes === undefined) return undefined;
  const state = parseState(bytes.toString("utf8"));
  if (state === undefined)
    throw new NodeError(`${join(data, STATE_FILE)} is damaged: restore it, or replace this node by one with an empty folder`);
  return state;
}

export function writeClusterState(data: string, state: ClusterState): Promise<void> {
  return writeDurably(data, STATE_FILE, Buffer.from(`${JSON.stringify(state, undefined, 2)}\n`));
}

/** @throws NodeError where one of the two is missing or damaged */
export async function readClusterKeys(data: string): Promise<ClusterKeys> {
  const secret = await readIfThere(join(data, SECRET_FILE));
  const key = await readIfThere(join(data, KEY_FILE));
  if (secret === undefined || key === undefined || secret.byteLength !== SECRET_SIZE_BYTES) {
    throw new NodeError(`${SECRET_FILE} or ${KEY_FILE} in ${data} is missing or damaged: copy both from another member of the cluster`);
  }
  return { secret, key };
}

export async function writeClusterKeys(data: string, keys: ClusterKeys): Promise<void> {
  await writeDurably(data, SECRET_FILE, keys.secret);
  await writeDurably(data, KEY_FILE, keys.key);
}

/** @returns undefined where there is no such file */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** 0600 from its first byte; there in whole or not at all, and on stable storage with its name on return. */
export async function writeDurably(folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const staged = join(folder, `${name}.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(staged, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await unlink(staged);
    throw error;
  } finally {
    await file.close();
  }
  await rename(staged, join(folder, name));
  const handle: FileHandle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function parseState(text: string): ClusterState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { clusterId, formerCluster, raftId, name, founding, hasLog, peers } = value as Record<string, unknown>;
  if (typeof clusterId !== "string" || typeof name !== "string" || !isRaftId(raftId) || !Array.isArray(peers)) return undefined;
  if (typeof founding !== "boolean" || typeof hasLog !== "boolean") return undefined;
  const parsed = parsePeers(peers);
  const former = typeof formerCluster === "string" ? { formerCluster } : {};
  return parsed === undefined ? undefined : { clusterId, ...former, raftId, name, founding, hasLog, peers: parsed };
}

/** @returns undefined where one of them is none */
export function parsePeers(values: readonly unknown[]): readonly Peer[] | undefined {
  const parsed = values.map(parsePeer);
  return parsed.includes(undefined) ? undefined : parsed.filter((peer) => peer !== undefined);
}

function parsePeer(value: unknown): Peer | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { raftId, peerId, addresses } = value as Record<string, unknown>;
  const parsed = typeof peerId === "string" ? parsePeerId(peerId) : undefined;
  if (!isRaftId(raftId) || parsed === undefined || !Array.isArray(addresses)) return undefined;
  return { raftId, peerId: parsed, addresses: addresses.filter((address) => typeof address === "string") };
}

export function isRaftId(value: unknown): value is RaftId {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}
