import { expect, test } from "vitest";
import type { Outcome } from "./commands.ts";
import { OUTCOME_SLOTS, OUTCOMES_IN_ROW, OutcomeRun } from "./outcome-rows.ts";
import { OUTCOME } from "./rows.ts";
import { digestNamed } from "./scenario.ts";

test("G8: a row holds the outcomes of one run of sequences, in whatever order they came, plain or not", () => {
  const outcomes: readonly (readonly [sequence: number, outcome: Outcome])[] = [
    [19, { index: 7 }],
    [16, { index: 8, refused: "missing", digest: digestNamed("a") }],
    [31, { index: 2 ** 40, value: 3 }],
  ];
  const run = new OutcomeRun(undefined);
  for (const [sequence, outcome] of outcomes) run.add(sequence, OUTCOME.encode(outcome));
  const again = new OutcomeRun(run.encode());
  expect([run.changed, again.changed]).toEqual([true, false]);
  for (const each of [run, again]) {
    for (const [sequence, outcome] of outcomes) expect(each.find(sequence)).toEqual(outcome);
    for (const sequence of [17, 19 + OUTCOMES_IN_ROW, 19 - OUTCOMES_IN_ROW]) expect(each.find(sequence)).toBeUndefined();
  }
  again.add(17, OUTCOME.encode({ index: 9 }));
  expect([again.find(17), again.find(19)]).toEqual([{ index: 9 }, { index: 7 }]);
});

test("G8: a run takes the row of an earlier one, and nothing of that one is found any more", () => {
  const run = new OutcomeRun(undefined);
  run.add(3, OUTCOME.encode({ index: 7 }));
  run.add(3 + OUTCOME_SLOTS * OUTCOMES_IN_ROW, OUTCOME.encode({ index: 9 }));
  for (const each of [run, new OutcomeRun(run.encode())]) {
    expect(each.find(3)).toBeUndefined();
    expect(each.find(3 + OUTCOME_SLOTS * OUTCOMES_IN_ROW)).toEqual({ index: 9 });
  }
});
