import { MeasuredCluster, type Member, until } from "./cluster.ts";
import { blobCommand } from "./orders.ts";

export interface Kills {
  /** From the kill to the first commit that another member has answered, each. */
  readonly outagesMs: readonly number[];
  readonly acknowledged: number;
  /** Acknowledged commands that a member lacks at the end. */
  readonly lost: number;
}

const CALLERS = 8;
const QUIET_MS = 300;

/** Kills the leader `times` times while all members propose, and asks all of them at the end for what was acknowledged. */
export async function killLeaders(folder: string, times: number): Promise<Kills> {
  const acknowledged: string[] = [];
  const cluster = await MeasuredCluster.start(folder, { acknowledged: (id) => acknowledged.push(id) });
  try {
    let streams = 0;
    const stream = async (member: Member): Promise<void> => {
      streams += 1;
      await member.ask({ do: "stream", name: `s${streams}`, callers: CALLERS });
    };
    for (const member of cluster.members) await stream(member);
    const outagesMs: number[] = [];
    for (let at = 0; at < times; at += 1) {
      await new Promise<void>((resolve) => setTimeout(resolve, QUIET_MS));
      const leader = await cluster.leader();
      outagesMs.push(await outage(cluster, leader, at));
      await leader.start();
      await cluster.tellPeers();
      await leader.ask({ do: "open", raftId: leader.raftId, founding: false });
      await caughtUp(cluster);
      await stream(leader);
    }
    for (const member of cluster.members) await member.ask({ do: "hush" });
    let lost = 0;
    for (const member of cluster.members) lost += (await member.ask({ do: "missing", names: acknowledged })).missing?.length ?? 0;
    return { outagesMs, acknowledged: acknowledged.length, lost };
  } finally {
    await cluster.stop();
  }
}

async function outage(cluster: MeasuredCluster, leader: Member, at: number): Promise<number> {
  const others = cluster.members.filter((member) => member !== leader);
  const members = cluster.members.map(({ raftId }) => raftId);
  await leader.kill();
  const killed = performance.now();
  await Promise.any(others.map((member, caller) => member.ask({ do: "propose", command: blobCommand(`k${at}-${caller}`, members) })));
  return performance.now() - killed;
}

async function caughtUp(cluster: MeasuredCluster): Promise<void> {
  await until(async () => {
    const all = await Promise.all(cluster.members.map((member) => member.status()));
    const [first] = all;
    return all.every(({ leader, appliedIndex }) => leader !== undefined && leader === first?.leader && appliedIndex > 0);
  });
}
