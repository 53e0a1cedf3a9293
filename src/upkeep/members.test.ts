import { afterEach, expect, test } from "vitest";
import { MemoryCluster, tokenCommand } from "../consensus/level/memory-cluster.ts";
import type { PeerProgress } from "../consensus/membership.ts";
import { systemClock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import { factsOf, SECRET_HASH } from "../metadata/scenario.ts";
import type { ConfState } from "../raft/types.ts";
import { keepMembers, nextStep, type Situation, votersWanted } from "./members.ts";

const conf = (voters: number[], learners: number[] = [], votersOutgoing: number[] = []): ConfState => ({
  voters,
  votersOutgoing,
  learners,
  learnersNext: [],
  autoLeave: votersOutgoing.length > 0,
});
const peer = (raftId: number, match = 100): PeerProgress => ({ raftId, match, state: "replicate", active: true, fresh: true });
function situation(members: number[], configuration: ConfState, changes: Partial<Situation> = {}): Situation {
  return {
    self: 1,
    members: members.map((raftId) => ({ raftId, zone: `z${raftId % 3}`, down: false, draining: false })),
    configuration,
    progress: [...configuration.voters, ...configuration.learners].map((id) => peer(id)),
    lastIndex: 100,
    votersMax: 5,
    time: 10_000,
    replaceAfterMs: 1_000,
    mayReplace: true,
    ...changes,
  };
}
function brief(of: Situation): string {
  const step = nextStep(of);
  if (step === undefined) return "nothing";
  return step.kind === "transfer" ? `transfer ${step.to}` : step.change.changes.map(({ type, nodeId }) => `${type} ${nodeId}`).join(", ");
}

test("one and two members vote, more of them in odd numbers up to the limit", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 9].map((count) => votersWanted(count, 5))).toEqual([1, 2, 3, 3, 5, 5, 5, 5]);
  expect([3, 4, 5].map((count) => votersWanted(count, 4))).toEqual([3, 3, 3]);
  expect(votersWanted(7, 7)).toBe(7);
});

test("a newcomer learns before it votes, and votes once it has caught up", () => {
  expect(brief(situation([1, 2], conf([1])))).toBe("addLearner 2");
  expect(brief(situation([1, 2], conf([1], [2])))).toBe("addNode 2");
  expect(brief(situation([1, 2], conf([1], [2]), { progress: [peer(1), peer(2, 10)] }))).toBe("nothing");
  expect(brief(situation([1, 2], conf([1], [2]), { progress: [peer(1), { ...peer(2), state: "snapshot" }] }))).toBe("nothing");
  expect(brief(situation([1, 2, 3], conf([1, 2], [3])))).toBe("addNode 3");
});

test("a learner that has fallen silent gets no vote that the only voter would depend on", () => {
  const silent = { ...peer(2), fresh: false };
  expect(brief(situation([1, 2], conf([1], [2]), { progress: [peer(1), silent] }))).toBe("nothing");
  expect(brief(situation([1, 2, 3], conf([1], [2, 3]), { progress: [peer(1), silent, peer(3)] }))).toBe("addNode 3");
  expect(brief(situation([1, 2, 3], conf([1, 3], [2]), { progress: [peer(1), silent, peer(3)] }))).toBe("addNode 2");
});

test("a third vote becomes five only by two at once, and a fourth member only learns", () => {
  expect(brief(situation([1, 2, 3, 4], conf([1, 2, 3], [4])))).toBe("nothing");
  expect(brief(situation([1, 2, 3, 4, 5], conf([1, 2, 3], [4, 5])))).toBe("addNode 4, addNode 5");
  expect(brief(situation([1, 2, 3, 4, 5], conf([1, 2, 3], [4, 5]), { progress: [peer(1), peer(2), peer(3), peer(4)] }))).toBe("nothing");
});

test("learners of zones with fewer votes come first", () => {
  expect(brief(situation([1, 2, 4, 6], conf([1, 2], [4, 6])))).toBe("addNode 6");
});

test("who is no member leaves, and a leader that is none hands over first", () => {
  expect(brief(situation([1, 2], conf([1, 2, 3])))).toBe("removeNode 3");
  expect(brief(situation([1, 2, 3], conf([1, 2, 3], [9])))).toBe("removeNode 9");
  expect(brief(situation([2, 3], conf([1, 2, 3])))).toBe("transfer 2");
});

test("an even number of votes after a removal is mended: by a learner, or by one vote less", () => {
  expect(brief(situation([1, 2, 3, 4, 6], conf([1, 2, 3, 4], [6])))).toBe("addNode 6");
  expect(brief(situation([1, 2, 3, 4], conf([1, 2, 3, 4]), { progress: [peer(1), peer(2), { ...peer(3), active: false }, peer(4)] }))).toBe(
    "addLearner 3",
  );
});

test("nothing is changed in a joint configuration, or before there are members", () => {
  expect(brief(situation([1, 2], conf([1], [], [1, 3])))).toBe("nothing");
  expect(brief(situation([], conf([1])))).toBe("nothing");
});

type Row = Situation["members"][number];
const rows = (count: number, changes: Readonly<Record<number, Partial<Row>>>): Row[] =>
  Array.from({ length: count }, (_, at) => ({ raftId: at + 1, zone: "", down: false, draining: false, ...changes[at + 1] }));
const downSince = (since: number): Partial<Row> => ({ down: true, downSince: since });

test("a voter that is down for `cluster.replaceAfter` gives its vote to a learner in one joint change, one at a time", () => {
  const five = (changes: Record<number, Partial<Row>>, more: Partial<Situation> = {}) =>
    brief(situation([], conf([1, 2, 3], [4, 5]), { votersMax: 3, members: rows(5, changes), ...more }));
  expect(five({ 2: downSince(9_001) })).toBe("nothing");
  expect(five({ 2: downSince(9_000) })).toBe("addNode 4, addLearner 2");
  expect(five({ 2: downSince(9_000), 3: downSince(8_000) })).toBe("addNode 4, addLearner 3");
  expect(five({ 2: downSince(9_000) }, { mayReplace: false })).toBe("nothing");
  expect(five({ 2: downSince(9_000), 4: downSince(9_999) })).toBe("addNode 5, addLearner 2");
  expect(five({ 2: downSince(9_000), 4: { draining: true }, 5: downSince(9_999) })).toBe("nothing");
});

test("a voter that drains gives its vote away, and a leader that drains its leadership first", () => {
  const four = (changes: Record<number, Partial<Row>>) => brief(situation([], conf([1, 2, 3], [4]), { members: rows(4, changes) }));
  expect(four({ 3: { draining: true } })).toBe("addNode 4, addLearner 3");
  expect(four({ 1: { draining: true } })).toBe("transfer 2");
  expect(four({ 1: { draining: true }, 2: { draining: true } })).toBe("transfer 3");
  expect(four({ 3: { draining: true }, 4: { draining: true } })).toBe("nothing");
});

test("votes are spread over zones while all voters are up: one moves where its zone has two more than a learner's", () => {
  const spread = (zones: string, changes: Record<number, Partial<Row>> = {}) => {
    const zoned = rows(5, changes).map((row, at): Row => ({ ...row, zone: zones[at] ?? "" }));
    return brief(situation([], conf([1, 2, 3], [4, 5]), { votersMax: 3, members: zoned }));
  };
  expect(spread("aaabc")).toBe("addNode 4, addLearner 3");
  expect(spread("aabbc")).toBe("addNode 5, addLearner 2");
  expect(spread("aabba")).toBe("nothing");
  expect(spread("aaaab")).toBe("addNode 5, addLearner 3");
  expect(spread("aaabc", { 2: downSince(9_500) })).toBe("nothing");
  expect(spread("aaaaa")).toBe("nothing");
});

let cluster: MemoryCluster | undefined;
afterEach(async () => {
  await cluster?.close();
  cluster = undefined;
});

test("members that are added become voters, up to three of three, and one that is removed leaves", async () => {
  cluster = await MemoryCluster.create(1);
  const first = cluster.node(1);
  const ends: (() => void)[] = [];
  const keep = (node: typeof first): number =>
    ends.push(
      keepMembers({
        consensus: node,
        membership: node,
        votersMax: 5,
        replaceAfterMs: 60_000,
        clock: systemClock,
        log: silentLog,
        periodMs: 30,
      }),
    );
  keep(first);
  await first.propose({ ...tokenCommand("join"), uses: 5 } as ReturnType<typeof tokenCommand>);
  const ids: number[] = [];
  for (const at of [2, 3]) {
    const { value } = await first.propose({ type: "member.add", member: factsOf(at), token: { id: "join", hash: SECRET_HASH } });
    ids.push(value!);
    keep(await cluster.open(value!));
    await cluster.until(() => [...cluster!.nodes.values()].every((node) => node.status().voters.length === at));
  }
  expect(await cluster.node(ids[1]!).barrier()).toBe("fresh");
  expect((await cluster.node(ids[1]!).propose(tokenCommand("third"))).refused).toBeUndefined();
  // The first one goes, though it leads.
  await cluster.node(ids[0]!).propose({ type: "member.remove", raftId: 1 });
  await cluster.until(() => ids.every((id) => cluster!.node(id).status().voters.join() === ids.join()));
  await cluster.leader(ids);
  expect(await cluster.node(ids[0]!).barrier()).toBe("fresh");
  for (const end of ends) end();
});
