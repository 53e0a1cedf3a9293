import { afterEach, expect, test } from "vitest";
import { type Cluster, type ClusterNode, startCluster } from "../harness/cluster.ts";

let cluster: Cluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

/** It takes long: in CI, and where it is asked for. */
const SLOW = process.env.ROADSTEAD_SLOW === "1";

test.runIf(SLOW)("a member that two others do not reach is down in the catalog, and up again when it is back", async () => {
  const running = await startCluster({ env: { ROADSTEAD_CLUSTER_DOWN_AFTER: "2s" } });
  cluster = running;
  const leader = await running.leader();
  const away = running.nodes.find((node) => node !== leader)!;
  const others = running.nodes.filter((node) => node !== away);
  // whichever leads then says it
  const said = (start: string): Promise<Record<string, unknown>> => Promise.any(others.map((node) => logged(node, start, away.name)));
  await away.kill("SIGKILL");
  expect(await said("a member is down: two members agree")).toMatchObject({ member: away.name });
  await away.start();
  expect(await said("a member is up again")).toMatchObject({ member: away.name });
});

function logged(node: ClusterNode, start: string, member: string): Promise<Record<string, unknown>> {
  return node.logged((line) => typeof line.msg === "string" && line.msg.startsWith(start) && line.member === member);
}
