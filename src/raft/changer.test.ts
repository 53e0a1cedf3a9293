import { array, assert as check, constantFrom, integer, oneof, property, record } from "fast-check";
import { expect, test } from "vitest";
import type { ConfChangeSingle } from "./conf-change.ts";
import { type ChangeOutcome, enterJoint, leaveJoint, restoreConfig, simpleChange } from "./membership.ts";
import type { JointVoters } from "./quorum.ts";
import { describeConfig } from "./text.ts";
import { confStateOf, type GroupConfig, type ProgressMap, Tracker } from "./tracker.ts";
import type { NodeId } from "./types.ts";

const operation = record({
  type: constantFrom<ConfChangeSingle["type"]>("addNode", "addLearner", "removeNode", "updateNode"),
  nodeId: integer({ min: 0, max: 5 }),
});
const change = oneof(
  record({ kind: constantFrom("simple", "enterJoint"), operations: array(operation, { maxLength: 4 }) }),
  record({ kind: constantFrom("leaveJoint"), operations: constantFrom<ConfChangeSingle[]>([]) }),
);

/** The smallest sets of nodes that decide in a configuration: a majority of each half. */
function quorums({ incoming, outgoing }: JointVoters): NodeId[][] {
  const all = [...new Set([...incoming, ...outgoing])];
  const subsets = Array.from({ length: 2 ** all.length }, (_, bits) => all.filter((_id, at) => (bits & (1 << at)) !== 0));
  const decides = (half: readonly NodeId[], set: readonly NodeId[]): boolean =>
    half.length === 0 || half.filter((id) => set.includes(id)).length * 2 > half.length;
  return subsets.filter((set) => decides(incoming, set) && decides(outgoing, set));
}

function expectInvariants(config: GroupConfig, progress: ProgressMap): void {
  const { voters, learners, learnersNext, autoLeave } = config;
  const members = new Set([...voters.incoming, ...voters.outgoing, ...learners, ...learnersNext]);
  expect([...progress.keys()].sort()).toEqual([...members].sort());
  const lists = [voters.incoming, voters.outgoing, learners, learnersNext];
  for (const list of lists) expect(list).toEqual([...new Set(list)].sort((a, b) => a - b));
  for (const id of learners) expect(voters.incoming.includes(id) || voters.outgoing.includes(id)).toBe(false);
  // Who is to become a learner is a voter of the outgoing half, and of no other, until then.
  for (const id of learnersNext) expect([voters.outgoing.includes(id), voters.incoming.includes(id)]).toEqual([true, false]);
  for (const [id, { isLearner }] of progress) expect(isLearner).toBe(learners.includes(id));
  expect(voters.incoming.length).toBeGreaterThan(0);
  if (voters.outgoing.length === 0) expect([learnersNext, autoLeave]).toEqual([[], false]);
}

test("whatever is changed in whatever order, a configuration is sound, and its quorums meet those of the one before", () => {
  check(
    property(array(change, { maxLength: 12 }), (changes) => {
      const tracker = new Tracker(10, Number.POSITIVE_INFINITY);
      const first = simpleChange(tracker, 0, [{ type: "addNode", nodeId: 1 }]);
      if (first.refused !== undefined) throw new Error(first.refused);
      tracker.switchTo(first.config, first.progress);
      let lastIndex = 0;
      for (const { kind, operations } of changes) {
        lastIndex += 1;
        const before = tracker.config;
        const described = describeConfig(before);
        const kept = new Map([...tracker.progress].map(([id, { match, next, isLearner }]) => [id, { match, next, isLearner }]));
        const run: Record<typeof kind, () => ChangeOutcome> = {
          simple: () => simpleChange(tracker, lastIndex, operations),
          enterJoint: () => enterJoint(tracker, lastIndex, lastIndex % 2 === 0, operations),
          leaveJoint: () => leaveJoint(tracker, lastIndex),
        };
        const outcome = run[kind]();
        // Until it is switched to, and where it is refused, nothing changes.
        expect(describeConfig(tracker.config)).toBe(described);
        for (const [id, progress] of tracker.progress) expect(progress).toMatchObject(kept.get(id) ?? {});
        if (outcome.refused !== undefined) continue;
        expectInvariants(outcome.config, outcome.progress);
        for (const one of quorums(before.voters)) {
          for (const other of quorums(outcome.config.voters)) expect(one.some((id) => other.includes(id))).toBe(true);
        }
        tracker.switchTo(outcome.config, outcome.progress);
      }
    }),
    { numRuns: 200 },
  );
});

test("a configuration that a snapshot carries is restored as it was, of each member nothing known", () => {
  check(
    property(array(change, { maxLength: 8 }), (changes) => {
      const tracker = new Tracker(10, Number.POSITIVE_INFINITY);
      const first = simpleChange(
        tracker,
        0,
        [1, 2, 3].map((nodeId) => ({ type: nodeId === 1 ? "addNode" : "addLearner", nodeId })),
      );
      if (first.refused !== undefined) throw new Error(first.refused);
      tracker.switchTo(first.config, first.progress);
      for (const { kind, operations } of changes) {
        const outcome = kind === "leaveJoint" ? leaveJoint(tracker, 9) : enterJoint(tracker, 9, true, operations);
        if (outcome.refused === undefined) tracker.switchTo(outcome.config, outcome.progress);
      }
      const restored = restoreConfig(new Tracker(10, Number.POSITIVE_INFINITY), 9, confStateOf(tracker.config));
      expect(restored.config).toEqual(tracker.config);
      expectInvariants(restored.config, restored.progress);
      for (const { match, next, recentActive } of restored.progress.values()) expect([match, next, recentActive]).toEqual([0, 9, true]);
    }),
  );
});

test("a member that is promoted, or demoted in any way, keeps what is known of it; one that was away does not", () => {
  const tracker = new Tracker(10, Number.POSITIVE_INFINITY);
  const apply = (outcome: ChangeOutcome): void => {
    if (outcome.refused !== undefined) throw new Error(outcome.refused);
    tracker.switchTo(outcome.config, outcome.progress);
  };
  apply(simpleChange(tracker, 0, [{ type: "addNode", nodeId: 1 }]));
  apply(simpleChange(tracker, 0, [{ type: "addLearner", nodeId: 2 }]));
  tracker.progress.get(2)?.maybeUpdate(7);
  apply(simpleChange(tracker, 8, [{ type: "addNode", nodeId: 2 }]));
  apply(enterJoint(tracker, 8, false, [{ type: "addLearner", nodeId: 2 }]));
  apply(leaveJoint(tracker, 8));
  expect(tracker.progress.get(2)?.match).toBe(7);
  apply(simpleChange(tracker, 8, [{ type: "removeNode", nodeId: 2 }]));
  apply(simpleChange(tracker, 8, [{ type: "addLearner", nodeId: 2 }]));
  expect(tracker.progress.get(2)).toMatchObject({ match: 0, next: 8, recentActive: true });
});
