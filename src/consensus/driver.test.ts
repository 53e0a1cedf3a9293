import { afterEach, expect, test } from "vitest";
import { encode } from "../core/codec.ts";
import { encodeEnvelope } from "../metadata/entry.ts";
import { factsOf, SECRET_HASH } from "../metadata/scenario.ts";
import type { Applied } from "./consensus.ts";
import { MemoryCluster, tokenCommand } from "./level/memory-cluster.ts";

let cluster: MemoryCluster;
afterEach(async () => {
  await cluster.close();
  expect(cluster.failures.filter(({ message }) => message !== "the test is over")).toEqual([]);
});

/** How often each token was created, as node `id` applies it. */
function counted(id: number): Map<string, number> {
  const counts = new Map<string, number>();
  cluster.node(id).onApplied(({ command, outcome, duplicate }: Applied) => {
    if (command.type !== "token.create" || outcome.refused !== undefined || duplicate) return;
    counts.set(command.id, (counts.get(command.id) ?? 0) + 1);
  });
  return counts;
}

test("a single node leads at once, answers, and goes on after a restart", async () => {
  cluster = await MemoryCluster.create(1);
  const node = cluster.node(1);
  expect((await node.propose(tokenCommand("a"))).refused).toBeUndefined();
  expect(await node.barrier()).toBe("fresh");
  const index = node.status().appliedIndex;
  await cluster.stop(1);
  const again = await cluster.open(1, [1]);
  await cluster.leader();
  expect(await again.barrier()).toBe("fresh");
  expect(again.status().appliedIndex).toBeGreaterThanOrEqual(index);
  expect(again.catalog.members().map(({ raftId }) => raftId)).toEqual([1]);
  expect((await again.propose(tokenCommand("b"))).refused).toBeUndefined();
});

test("three nodes elect one leader, and a proposal applies on all of them, made at the leader or at a follower", async () => {
  cluster = await MemoryCluster.create(3);
  for (const to of [1, 2]) {
    const leader = await cluster.leader();
    if (leader.self !== to) leader.transferLeader(to);
    await cluster.until(() => cluster.node(to).leads() && [1, 2, 3].every((id) => cluster.node(id).status().leader === to));
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, at) => cluster.node(1).propose(tokenCommand(`${to}-${at}`))));
    expect(outcomes.every(({ refused }) => refused === undefined)).toBe(true);
    // What is proposed in one turn shares an entry.
    expect(new Set(outcomes.map(({ index }) => index)).size).toBeLessThan(10);
    const last = Math.max(...outcomes.map(({ index }) => index));
    expect(await Promise.all([1, 2, 3].map((id) => cluster.node(id).barrier()))).toEqual(["fresh", "fresh", "fresh"]);
    for (const id of [1, 2, 3]) expect(cluster.node(id).status().appliedIndex).toBeGreaterThanOrEqual(last);
    expect(
      cluster
        .node(to)
        .status()
        .progress.map(({ raftId }) => raftId),
    ).toEqual([1, 2, 3]);
  }
});

test("G2: a read that begins after a write was answered sees it through every node", async () => {
  cluster = await MemoryCluster.create(3);
  for (let round = 0; round < 20; round += 1) {
    const { value } = await cluster.node(1).propose({ type: "session.open", raftId: 1 });
    for (const id of [1, 2, 3]) {
      expect(await cluster.node(id).barrier()).toBe("fresh");
      expect(cluster.node(id).status().appliedIndex).toBeGreaterThanOrEqual(value ?? Number.POSITIVE_INFINITY);
    }
  }
});

test("what is committed is told with the next append where one follows at once, and by itself where none does", async () => {
  cluster = await MemoryCluster.create(3);
  const leader = await cluster.leader();
  const rounds = 50;
  let notices = 0;
  const told = new Map<number, number>();
  cluster.network.filter = (_from, to, message) => {
    if (message.kind !== "raft" || message.message.type !== "append") return true;
    const { commit, entries } = message.message;
    if (entries.length === 0 && commit > (told.get(to) ?? 0)) notices += 1;
    told.set(to, commit);
    return true;
  };
  let last = 0;
  for (let round = 0; round < rounds; round += 1) last = (await leader.propose(tokenCommand(`${round}`))).index;
  await cluster.until(() => [1, 2, 3].every((id) => cluster.node(id).status().appliedIndex >= last));
  // To each of two followers one would go out for each commit.
  expect(notices).toBeLessThan(rounds);
});

test("reads that wait together share rounds", async () => {
  cluster = await MemoryCluster.create(3);
  const [follower] = await cluster.followers();
  let rounds = 0;
  cluster.network.filter = (_from, _to, message) => {
    if (message.kind === "raft" && message.message.type === "readIndex") rounds += 1;
    return true;
  };
  const answers = await Promise.all(Array.from({ length: 500 }, () => follower!.barrier()));
  expect(new Set(answers)).toEqual(new Set(["fresh"]));
  expect(rounds).toBeLessThanOrEqual(5);
});

test("a wish for another leader reaches the leader from whichever node it is made at, also for a third one", async () => {
  cluster = await MemoryCluster.create(3);
  const leader = await cluster.leader();
  const [asked, heir] = [1, 2, 3].filter((id) => id !== leader.self) as [number, number];
  await cluster.until(() => cluster.node(asked).status().leader === leader.self);
  cluster.node(asked).transferLeader(heir);
  await cluster.until(() => cluster.node(heir).leads());
});

test("G8: proposals of which messages are lost and repeated apply once, through changes of the leader", async () => {
  cluster = await MemoryCluster.create(3);
  const counts = counted(2);
  let sent = 0;
  cluster.network.filter = (_from, _to, message) => {
    sent += 1;
    return message.kind === "raft" ? sent % 13 !== 0 : sent % 3 !== 0;
  };
  const proposals: Promise<unknown>[] = [];
  for (let round = 0; round < 4; round += 1) {
    for (let at = 0; at < 15; at += 1) proposals.push(cluster.node(1).propose(tokenCommand(`${round}-${at}`)));
    const leader = await cluster.leader();
    // The word to take over may get lost as well: it is said again.
    await cluster.until(() => {
      leader.transferLeader((leader.self % 3) + 1);
      return !leader.leads();
    });
  }
  await Promise.all(proposals);
  cluster.network.filter = () => true;
  await cluster.node(2).barrier();
  expect(counts.size).toBe(60);
  expect([...counts.values()].every((count) => count === 1)).toBe(true);
});

test("writes and reads wait through the loss of the leader, and no client hears of it", async () => {
  cluster = await MemoryCluster.create(3);
  const leader = await cluster.leader();
  const rest = [1, 2, 3].filter((id) => id !== leader.self);
  const proposer = cluster.node(rest.includes(1) ? 1 : 2);
  cluster.network.partition([leader.self], rest);
  const barrier = cluster.node(rest[1]!).barrier();
  const open = proposer.propose({ type: "session.open", raftId: 1 });
  expect(await barrier).toBe("fresh");
  expect((await open).refused).toBeUndefined();
  expect(rest).toContain((await cluster.leader(rest)).self);
});

test("G3: a node without the majority says so at once to readers, refuses writers, and comes back", async () => {
  cluster = await MemoryCluster.create(3);
  cluster.network.partition([1], [2, 3]);
  const waiting = cluster.node(1).propose(tokenCommand("lost"));
  await expect(waiting).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(cluster.node(1).status().cutOff).toBe(true);
  expect(await cluster.node(1).barrier()).toBe("cutOff");
  await expect(cluster.node(1).propose(tokenCommand("no"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(await cluster.node(2).barrier()).toBe("fresh");
  cluster.network.heal();
  await cluster.until(() => !cluster.node(1).status().cutOff);
  expect(await cluster.node(1).barrier()).toBe("fresh");
  expect((await cluster.node(1).propose(tokenCommand("back"))).refused).toBeUndefined();
});

test("G3: a leader that lost its quorum is cut off as well", async () => {
  cluster = await MemoryCluster.create(3);
  const leader = await cluster.leader();
  cluster.network.partition([1], [2], [3]);
  await cluster.until(() => leader.status().cutOff);
  expect(await leader.barrier()).toBe("cutOff");
  await cluster.until(() => !leader.leads());
});

test("a lone survivor of three is cut off, and readers that waited are told", async () => {
  cluster = await MemoryCluster.create(3);
  await cluster.leader();
  cluster.network.partition([1], [2], [3]);
  const answers = await Promise.all([1, 2, 3].map((id) => cluster.node(id).barrier()));
  expect(answers).toEqual(["cutOff", "cutOff", "cutOff"]);
});

test("a follower that was away for longer than the log reaches back catches up by a snapshot", async () => {
  cluster = await MemoryCluster.create(3, { keepEntries: 10, keepBytes: 2 ** 20 });
  const leader = await cluster.leader();
  const away = [2, 3].find((id) => id !== leader.self)!;
  await cluster.stop(away);
  // One after the other: those of one turn would share an entry.
  for (let at = 0; at < 80; at += 1) await leader.propose(tokenCommand(`${at}`));
  await cluster.until(() => [...cluster.nodes.values()].every((node) => node.log.firstIndex() > 50));
  const back = await cluster.open(away, [1, 2, 3]);
  const installed = new Promise<number>((resolve) => back.onInstalled(resolve));
  expect(await installed).toBeGreaterThan(50);
  expect(await back.barrier()).toBe("fresh");
  expect(Buffer.from(back.seal()).equals(await sealAt(back))).toBe(true);
  await cluster.stop(away);
  const again = await cluster.open(away, [1, 2, 3]);
  await cluster.until(() => again.status().leader !== undefined);
  expect(await again.barrier()).toBe("fresh");
});

/** The leader's seal once both have applied the same. */
async function sealAt(node: { status(): { appliedIndex: number } }): Promise<Uint8Array> {
  const leader = await cluster.leader();
  await cluster.until(() => leader.status().appliedIndex === node.status().appliedIndex);
  return leader.seal();
}

test("a newcomer with an empty log is added as a learner, receives the state, and becomes a voter", async () => {
  cluster = await MemoryCluster.create(1, { keepEntries: 5, keepBytes: 2 ** 20 });
  const first = cluster.node(1);
  await first.propose(tokenCommand("before"));
  const added = await first.propose({
    type: "member.add",
    member: factsOf(2),
    token: { id: "before", hash: SECRET_HASH },
  });
  const id = added.value!;
  const newcomer = await cluster.open(id);
  expect(
    first.proposeConfChange({ transition: "auto", changes: [{ type: "addLearner", nodeId: id }], context: undefined }),
  ).toBeUndefined();
  await cluster.until(() => newcomer.status().learners.includes(id));
  await cluster.until(() => newcomer.status().leader === 1);
  expect(await newcomer.barrier()).toBe("fresh");
  expect(newcomer.catalog.members()).toHaveLength(2);
  first.proposeConfChange({ transition: "auto", changes: [{ type: "addNode", nodeId: id }], context: undefined });
  await cluster.until(() => newcomer.status().voters.length === 2 && first.status().voters.length === 2);
  expect((await newcomer.propose(tokenCommand("after"))).refused).toBeUndefined();
});

test("three nodes go on with their state after all were stopped", async () => {
  cluster = await MemoryCluster.create(3);
  await Promise.all(Array.from({ length: 20 }, (_, at) => cluster.node(1).propose(tokenCommand(`t${at}`))));
  const before = Math.max(...[1, 2, 3].map((id) => cluster.node(id).status().appliedIndex));
  for (const id of [1, 2, 3]) await cluster.stop(id);
  await Promise.all([1, 2, 3].map((id) => cluster.open(id, [1, 2, 3])));
  await cluster.leader();
  expect(await cluster.node(2).barrier()).toBe("fresh");
  expect(cluster.node(2).status().appliedIndex).toBeGreaterThan(before);
  expect((await cluster.node(1).propose(tokenCommand("t0"))).index).toBeGreaterThan(before);
});

const told = { session: 0, sequence: 1, lowest: 0 };
test.each([
  ["a command that nobody knows", encode([0, 1, 0, 1, 0, null, { type: "cluster.destroy" }]), /does not know such a command/],
  ["a schema that is too new", encodeEnvelope({ v: 999, ...told, command: { type: "clock.tick" } }), /does not know such a command/],
  ["a field that is missing", encode([0, 1, 0, 1, 0, null, { type: "token.revoke" }]), /no well-formed command/],
  ["bytes that are no envelope", Buffer.from("nothing"), /no well-formed command/],
  ["more bytes than an entry takes", Buffer.alloc(8 * 2 ** 20), /8388608 bytes/],
])(
  "a forwarded proposal with %s never enters the log: the leader says so, nobody halts, and the cluster goes on",
  async (_what, envelope, reason) => {
    cluster = await MemoryCluster.create(3);
    const leader = await cluster.leader();
    // The one that is a member proposes.
    if (leader.self === 1) leader.transferLeader(2);
    await cluster.until(() => ![0, 1].includes(cluster.node(1).status().leader ?? 0));
    const reasons: string[] = [];
    cluster.network.filter = (_from, _to, message) => {
      if (message.kind === "proposalRefused") reasons.push(message.reason);
      // Until the leader has answered to that.
      if (message.kind === "proposal" && reasons.length === 0) Object.assign(message, { envelope });
      return true;
    };
    expect((await cluster.node(1).propose(tokenCommand("a"))).refused).toBeUndefined();
    expect(reasons[0]).toMatch(reason);
    for (const node of cluster.nodes.values()) expect(await node.barrier()).toBe("fresh");
  },
);
