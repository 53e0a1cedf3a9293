import { expect, test } from "vitest";
import type { Outcome } from "./commands.ts";
import { OUTCOMES_IN_ROW, outcomeIn, withOutcome } from "./outcome-rows.ts";
import { digestNamed } from "./scenario.ts";

test("G8: a row holds the outcomes of one run of sequences, in whatever order they came, plain or not", () => {
  const outcomes: readonly (readonly [sequence: number, outcome: Outcome])[] = [
    [19, { index: 7 }],
    [16, { index: 8, refused: "missing", digest: digestNamed("a") }],
    [31, { index: 2 ** 40, value: 3 }],
  ];
  let row: Uint8Array | undefined;
  for (const [sequence, outcome] of outcomes) row = withOutcome(row, sequence, outcome);
  for (const [sequence, outcome] of outcomes) expect(outcomeIn(row!, sequence)).toEqual(outcome);
  for (const sequence of [17, 19 + OUTCOMES_IN_ROW, 19 - OUTCOMES_IN_ROW]) expect(outcomeIn(row!, sequence)).toBeUndefined();
});

test("G8: a run takes the row of an earlier one, and nothing of that one is found any more", () => {
  const row = withOutcome(withOutcome(undefined, 3, { index: 7 }), 3 + 65 * OUTCOMES_IN_ROW, { index: 9 });
  expect(outcomeIn(row, 3)).toBeUndefined();
  expect(outcomeIn(row, 3 + 65 * OUTCOMES_IN_ROW)).toEqual({ index: 9 });
});
