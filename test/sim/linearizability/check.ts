import type { Model, Operation, Violation } from "./model.ts";
import { type Furthest, Search } from "./search.ts";

const CONFIGURATIONS_MAX = 4_000_000;

/** Parts take turns, each four times as long as the one before: one that is easily refused ends the check, however hard the others are. */
const FIRST_TURN = 1_000;

/** `configurations` tells how hard it was: the different sets of placed operations, with their states, that were tried. */
export type Verdict<State, Input, Output> =
  | { readonly ok: true; readonly configurations: number }
  | { readonly ok: false; readonly configurations: number; readonly violation: Violation<State, Input, Output> };

/**
 * Whether each operation can have taken effect at one moment between its call and its return (Herlihy & Wing, 1990). The operations may be in any order.
 * @throws RangeError where an operation returned before its call
 * @throws Error where one part needs more than `configurationsMax` configurations: no verdict
 */
export function checkLinearizable<State, Input, Output extends NonNullable<unknown> | null>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  { configurationsMax = CONFIGURATIONS_MAX }: { readonly configurationsMax?: number } = {},
): Verdict<State, Input, Output> {
  for (const { client, calledAt, returned } of history) {
    if (returned === undefined || returned.at >= calledAt) continue;
    throw new RangeError(
      `client ${client}'s operation returned at ${returned.at}, before its call at ${calledAt}: the history is not in one order of time`,
    );
  }
  const searches = partsOf(model, history).map(([part, operations]) => ({ part, operations, search: new Search(model, operations) }));
  const configurations = (): number => searches.reduce((sum, { search }) => sum + search.configurations, 0);
  let unfinished = searches;
  for (let turn = FIRST_TURN; unfinished.length > 0; turn *= 4) {
    const paused: typeof searches = [];
    for (const entry of unfinished) {
      const found = entry.search.run(Math.min(turn, configurationsMax));
      if (found === "paused") paused.push(entry);
      else if (found !== "linearizable") {
        return { ok: false, configurations: configurations(), violation: violationOf(entry.part, entry.operations, found) };
      }
    }
    if (paused[0] !== undefined && turn >= configurationsMax) throw new Error(tooHard(paused[0].operations.length, configurationsMax));
    unfinished = paused;
  }
  return { ok: true, configurations: configurations() };
}

function violationOf<State, Input, Output>(
  part: string | undefined,
  operations: readonly Operation<Input, Output>[],
  { blocked, order, states }: Furthest<State>,
): Violation<State, Input, Output> {
  const operation = operations[blocked]!;
  const end = operation.returned?.at ?? Number.POSITIVE_INFINITY;
  const placed = new Set(order);
  return {
    part,
    operation,
    prefix: order.map((index) => operations[index]!),
    states,
    open: operations.filter(({ calledAt }, index) => index !== blocked && !placed.has(index) && calledAt <= end),
    operationCount: operations.length,
  };
}

function tooHard(operationCount: number, configurationsMax: number): string {
  return (
    `no verdict on ${operationCount} operations after ${configurationsMax} configurations: too many run at once or had no answer. ` +
    "Make the history shorter, spread it over more parts (Model.partition), or raise configurationsMax."
  );
}

function partsOf<State, Input, Output extends NonNullable<unknown> | null>(
  { partition }: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
): readonly (readonly [part: string | undefined, operations: readonly Operation<Input, Output>[]])[] {
  if (partition === undefined) return [[undefined, history]];
  return [...Map.groupBy(history, ({ input }) => partition(input))];
}
