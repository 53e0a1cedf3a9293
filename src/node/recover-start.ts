import { levelStorage } from "../consensus/level/level-storage.ts";
import { type RecoverCommand, type Rewrite, rewriteAsFollower, rewriteAsLeader } from "../consensus/rewrite.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Random } from "../core/random.ts";
import { signSupersession } from "../exchange/membership-certificate.ts";
import { privateKeyOf, publicKeyOf } from "./bootstrap.ts";
import { type ClusterKeys, type ClusterState, readClusterKeys, writeClusterKeys, writeClusterState } from "./cluster-state.ts";
import { NodeError } from "./node-error.ts";
import { type RecoveryOrder, readOrder, removeOrder } from "./recovery-order.ts";

const WAY_OUT: Readonly<Record<RecoveryOrder["role"], string>> = {
  lead: "Where starting it again does not help, say `roadstead recover` at another survivor, for which this node is lost then.",
  follow: "Where starting it again does not help, empty its data folder and join with a token and --replace.",
};

export interface RecoveryGround {
  readonly data: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Does what `roadstead recover` has ordered, where it has, while nothing of the node is open: log and catalog become those of the new cluster, then its keys and
 * `node.json`. Each step may be done again: a crash at any point is made good by the next start.
 * @returns what this node is in afterwards, and what the audit trail is to say of it
 */
export async function carryOutRecovery(
  ground: RecoveryGround,
  state: ClusterState | undefined,
): Promise<{ readonly known: ClusterState | undefined; readonly recovered: string | undefined }> {
  const { data, log } = ground;
  const order = await readOrder(data);
  if (order === undefined || state === undefined) return { known: state, recovered: undefined };
  const { from, clusterId, keys, peers } = order;
  log.warn(
    { from, clusterId, role: order.role },
    "this node leaves its cluster, whose quorum is lost, for the one that was recovered of it",
  );
  try {
    await rewrite(ground, order, state, await readClusterKeys(data));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new NodeError(
      `this node was to ${order.role === "lead" ? "go on as the recovered cluster" : "follow the recovered cluster"}, and cannot: ${reason} ${WAY_OUT[order.role]}`,
    );
  }
  await writeClusterKeys(data, keys);
  const next: ClusterState = { ...state, clusterId, formerCluster: from, founding: false, hasLog: true, peers };
  await writeClusterState(data, next);
  await removeOrder(data);
  log.warn(
    { clusterId },
    order.role === "lead" ? "the cluster is recovered: it goes on from this node" : "this node follows the recovered cluster",
  );
  return { known: next, recovered: order.role === "lead" ? order.summary : undefined };
}

async function rewrite(
  { data, clock, random }: RecoveryGround,
  order: RecoveryOrder,
  state: ClusterState,
  old: ClusterKeys,
): Promise<void> {
  const { from, clusterId, term } = order;
  const owner = { clusterId, raftId: state.raftId };
  const wish: Rewrite = { storage: levelStorage(data), clock, random, formerCluster: from, owner, term };
  if (order.role === "follow") return rewriteAsFollower(wish, order.voter);
  const commandAfter = (lastTerm: number, lastIndex: number): RecoverCommand => {
    const signature = signSupersession(privateKeyOf(old), { clusterId: from, successor: clusterId, lastTerm, lastIndex });
    return {
      type: "cluster.recover",
      from,
      clusterId,
      publicKey: publicKeyOf(order.keys),
      lastTerm,
      lastIndex,
      lost: order.lost,
      signature,
    };
  };
  return rewriteAsLeader(wish, commandAfter, order.by);
}
