import { unlink } from "node:fs/promises";
import { join } from "node:path";
import type { RaftId } from "../core/peer.ts";
import { type ClusterKeys, isRaftId, type Peer, parsePeers, readIfThere, writeDurably } from "./cluster-state.ts";
import { NodeError } from "./node-error.ts";

/** What this node is to do at its next start, before anything of it is opened: `recover.json`. It is there until all of it is done. */
export type RecoveryOrder = {
  /** The cluster that this node is in, and the one that it is to be in. */
  readonly from: string;
  readonly clusterId: string;
  readonly keys: ClusterKeys;
  /** At which the new group begins. */
  readonly term: number;
  /** The members of the new cluster. */
  readonly peers: readonly Peer[];
} & (
  | {
      readonly role: "lead";
      readonly lost: readonly RaftId[];
      /** Who ordered it, for the chain. */
      readonly by: string;
      /** For the audit trail. */
      readonly summary: string;
    }
  | {
      readonly role: "follow";
      /** Votes in the new cluster. */
      readonly voter: RaftId;
    }
);

const ORDER_FILE = "recover.json";

/** Durable on return. */
export async function writeOrder(data: string, order: RecoveryOrder): Promise<void> {
  const { keys, ...rest } = order;
  const plain = { ...rest, secret: Buffer.from(keys.secret).toString("base64"), key: Buffer.from(keys.key).toString("base64") };
  await writeDurably(data, ORDER_FILE, Buffer.from(`${JSON.stringify(plain, undefined, 2)}\n`));
}

/** Undefined where there is none. @throws NodeError where it is damaged */
export async function readOrder(data: string): Promise<RecoveryOrder | undefined> {
  const bytes = await readIfThere(join(data, ORDER_FILE));
  if (bytes === undefined) return undefined;
  const order = parseOrder(bytes.toString("utf8"));
  if (order !== undefined) return order;
  throw new NodeError(
    `${join(data, ORDER_FILE)} is damaged: take it away, start this node, and say \`roadstead recover\` again where the cluster still has no quorum`,
  );
}

export function removeOrder(data: string): Promise<void> {
  return unlink(join(data, ORDER_FILE));
}

function parseOrder(text: string): RecoveryOrder | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { role, from, clusterId, secret, key, term, peers, lost, by, summary, voter } = value as Record<string, unknown>;
  if (typeof from !== "string" || typeof clusterId !== "string" || typeof secret !== "string" || typeof key !== "string") return undefined;
  const parsed = Array.isArray(peers) ? parsePeers(peers) : undefined;
  if (parsed === undefined || !isRaftId(term)) return undefined;
  const keys = { secret: Buffer.from(secret, "base64"), key: Buffer.from(key, "base64") };
  const common = { from, clusterId, keys, term, peers: parsed };
  if (role === "follow") return isRaftId(voter) ? { ...common, role, voter } : undefined;
  if (role !== "lead" || !Array.isArray(lost) || !lost.every(isRaftId) || typeof by !== "string" || typeof summary !== "string")
    return undefined;
  return { ...common, role, lost, by, summary };
}
