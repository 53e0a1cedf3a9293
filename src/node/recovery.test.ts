import { expect, test } from "vitest";
import { furthest } from "./recovery.ts";

const node = (raftId: number, lastTerm: number, lastIndex: number, commitIndex: number, termAt: number) => ({
  member: { raftId },
  survey: { clusterId: "c", term: lastTerm, lastTerm, lastIndex, commitIndex, appliedIndex: commitIndex, cutOff: true, termAt },
});

test("the survivor with the highest (term, index) is chosen; the one that is asked where they are equal", () => {
  expect(furthest([node(1, 3, 90, 80, 3), node(2, 4, 85, 70, 3)], 80, 1)?.member.raftId).toBe(2);
  expect(furthest([node(1, 3, 90, 80, 3), node(2, 3, 91, 70, 3)], 80, 1)?.member.raftId).toBe(2);
  expect(furthest([node(1, 3, 90, 80, 3), node(2, 3, 90, 80, 3), node(3, 3, 90, 80, 3)], 80, 2)?.member.raftId).toBe(2);
});

/**
 * Of five, 1 has entry 7 of term 1; 2, elected in term 2 by those who lack it, wrote another entry 7 and fell; 3, elected in term 3 with 1's help, has committed the
 * one of term 1 on 3, 4 and 5, and told 1 so. Then 3, 4 and 5 are lost.
 */
test("G1: a log that lacks what another survivor knows to be committed is not chosen, though its last term be higher", () => {
  expect(furthest([node(1, 1, 7, 7, 1), node(2, 2, 7, 6, 2)], 7, 2)?.member.raftId).toBe(1);
});

test("a survivor that has no log yet is not chosen", () => {
  expect(furthest([node(1, 0, 0, 0, 0)], 0, 1)).toBeUndefined();
});
