import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import type { Config } from "../config/settings.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Random } from "../core/random.ts";
import type { MemberFacts } from "../metadata/commands.ts";
import { type ClusterKeys, type ClusterState, writeClusterKeys, writeClusterState } from "./cluster-state.ts";
import { NodeError } from "./node-error.ts";

const FOUNDER = 1;
const SECRET_SIZE_BYTES = 32;

/** Draws the cluster's id, secret and key, and writes them: what comes after may be begun again after a crash. */
export async function foundCluster(data: string, name: string, random: Random): Promise<ClusterState> {
  await writeClusterKeys(data, drawKeys(random));
  const state: ClusterState = { clusterId: randomUUID(), raftId: FOUNDER, name, founding: true, hasLog: false, peers: [] };
  await writeClusterState(data, state);
  return state;
}

/** Of a new cluster: its secret and its key. */
export function drawKeys(random: Random): ClusterKeys {
  const { privateKey } = generateKeyPairSync("ed25519");
  return { secret: random.bytes(SECRET_SIZE_BYTES), key: privateKey.export({ format: "der", type: "pkcs8" }) };
}

/** Makes the cluster's record with this node as its only member. To do it again changes nothing. */
export async function initCluster(
  consensus: Consensus,
  state: ClusterState,
  keys: ClusterKeys,
  member: MemberFacts,
  config: Config,
): Promise<void> {
  const outcome = await consensus.propose({
    type: "cluster.init",
    clusterId: state.clusterId,
    publicKey: publicKeyOf(keys),
    member,
    durability: { copies: config["durability.copies"], acks: config["durability.acks"] },
    lifetimes: { leaseMs: config["gc.lease"], graceMs: config["gc.grace"], trashKeepMs: config["gc.trash"] },
  });
  if (outcome.refused !== undefined)
    throw new NodeError(`the cluster could not be made (${outcome.refused}): begin again with an empty data folder`);
}

/** @throws NodeError where the file holds no Ed25519 key */
export function privateKeyOf(keys: ClusterKeys): KeyObject {
  try {
    const key = createPrivateKey({ key: Buffer.from(keys.key), format: "der", type: "pkcs8" });
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // told below: what OpenSSL says of it helps nobody
  }
  throw new NodeError("cluster.key in the data folder is no Ed25519 key: copy it from another member of the cluster");
}

/** SPKI DER. */
export function publicKeyOf(keys: ClusterKeys): Uint8Array {
  return createPublicKey(privateKeyOf(keys)).export({ format: "der", type: "spki" });
}
