import type { Driver } from "../../src/consensus/driver.ts";
import type { Command } from "../../src/metadata/commands.ts";
import { factsOf, SECRET_HASH } from "../../src/metadata/scenario.ts";
import type { ConfChangeType } from "../../src/raft/conf-change.ts";
import { Cluster, type NodeSettings } from "./cluster.ts";
import type { DiskImage } from "./disk/node-disk.ts";
import type { SimNode } from "./sim-node.ts";
import { World } from "./world.ts";

/** How many nodes of each kind a cluster begins with. */
export interface Shape {
  readonly voters: number;
  readonly learners: number;
}

/** The disks of a cluster that was founded in good weather, by node. */
export type FoundedCluster = ReadonlyMap<number, DiskImage>;

export const JOIN_TOKEN = { id: "join", hash: SECRET_HASH };

const FOUNDED = new Map<string, Promise<FoundedCluster>>();
const LOOK_MS = 50;
const CALM: NodeSettings = {
  timing: {},
  limits: {},
  disk: { syncMsMax: 1, writeBufferBytes: 65_536, keepsWitness: false },
  keepsImages: false,
  delayMsMax: 3,
  streams: false,
};

/** The same disks for the same shape, whatever ran before: they are made once in a process. */
export function foundCluster(shape: Shape): Promise<FoundedCluster> {
  const key = `${shape.voters}+${shape.learners}`;
  const known = FOUNDED.get(key);
  if (known !== undefined) return known;
  const founding = found(shape);
  FOUNDED.set(key, founding);
  return founding;
}

async function found(shape: Shape): Promise<FoundedCluster> {
  const world = new World(0);
  const cluster = new Cluster({ world, settings: CALM });
  let images: FoundedCluster | undefined;
  let failure: unknown;
  establish(cluster, shape).then(
    (made) => {
      images = made;
    },
    (error: unknown) => {
      failure = error;
    },
  );
  await world.run(() => images !== undefined || failure !== undefined);
  if (images !== undefined) return images;
  throw failure ?? world.violation ?? new Error("the cluster was not founded, and nothing is going to happen any more");
}

async function establish(cluster: Cluster, shape: Shape): Promise<FoundedCluster> {
  const first = cluster.add(1, { voters: [1] });
  first.start();
  await until(cluster, () => first.driver?.leads() === true);
  const leader = first.driver!;
  await propose(leader, { type: "cluster.init", clusterId: "sim", publicKey: new Uint8Array(4), member: factsOf(1) });
  await propose(leader, { type: "token.create", ...JOIN_TOKEN, uses: 1_000, ttlMs: 2 ** 40 });
  for (let count = 2; count <= shape.voters + shape.learners; count += 1) {
    const id = await propose(leader, { type: "member.add", member: factsOf(count), token: JOIN_TOKEN });
    const node = cluster.add(id);
    await change(cluster, leader, "addLearner", id);
    node.start();
    await until(cluster, () => node.driver?.status().appliedIndex === leader.status().appliedIndex);
    if (count <= shape.voters) await change(cluster, leader, "addNode", id);
  }
  const nodes = [...cluster.nodes.values()];
  await until(cluster, () => nodes.every((node) => isSettled(node, leader)));
  return new Map(nodes.map((node) => [node.id, node.disk.image()]));
}

function isSettled(node: SimNode, leader: Driver): boolean {
  const status = node.driver?.status();
  return status !== undefined && status.appliedIndex === leader.status().lastIndex && status.syncedIndex === status.appliedIndex;
}

async function propose(leader: Driver, command: Command): Promise<number> {
  const { refused, value } = await leader.propose(command);
  if (refused !== undefined) throw new Error(`${command.type} was refused (${refused}) while a cluster was founded`);
  return value ?? 0;
}

async function change(cluster: Cluster, leader: Driver, type: ConfChangeType, nodeId: number): Promise<void> {
  leader.proposeConfChange({ transition: "auto", changes: [{ type, nodeId }], context: undefined });
  const { configuration } = leader;
  await until(cluster, () => {
    const { voters, learners } = configuration.call(leader);
    return type === "addNode" ? voters.includes(nodeId) : learners.includes(nodeId);
  });
}

async function until({ world }: Cluster, holds: () => boolean): Promise<void> {
  while (!holds()) {
    await new Promise<void>((resolve) => {
      world.after(LOOK_MS, "client", undefined, resolve);
    });
  }
}
