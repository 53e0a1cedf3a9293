import type { Model, Operation, Violation } from "./model.ts";

/** The tail of the order says where it went wrong; all of it would hide that. */
const PREFIX_LINES_MAX = 8;
const OPEN_LINES_MAX = 12;

/** Lines for a person: what fits nowhere, the states that it met, what came before and what ran beside it. */
export function explainViolation<State, Input, Output extends NonNullable<unknown> | null>(
  model: Model<State, Input, Output>,
  { part, operation, prefix, states, open, operationCount }: Violation<State, Input, Output>,
): string[] {
  const line = (shown: Operation<Input, Output>): string => `  ${describe(model, shown)}`;
  const where = part === undefined ? "" : ` in ${JSON.stringify(part)}`;
  const shownStates = states.map((state) => model.describeState?.(state) ?? JSON.stringify(state));
  const skipped = prefix.length - PREFIX_LINES_MAX;
  const unshown = open.length - OPEN_LINES_MAX;
  return [
    `not linearizable${where}: of ${operationCount} operations ${prefix.length} can be put in an order, then this answer fits nowhere`,
    line(operation),
    `while it ran the state was one of: ${shownStates.join(" | ")}`,
    `the order up to there${skipped > 0 ? ` (the last ${PREFIX_LINES_MAX})` : ""}:`,
    ...(prefix.length === 0 ? ["  nothing"] : prefix.slice(-PREFIX_LINES_MAX).map(line)),
    "beside it ran, in no place yet:",
    ...(open.length === 0 ? ["  nothing"] : open.slice(0, OPEN_LINES_MAX).map(line)),
    ...(unshown > 0 ? [`  and ${unshown} more`] : []),
  ];
}

function describe<State, Input, Output extends NonNullable<unknown> | null>(
  model: Model<State, Input, Output>,
  { client, input, calledAt, returned }: Operation<Input, Output>,
): string {
  const answer = returned === undefined ? "no answer" : JSON.stringify(returned.output);
  const what = model.describe?.(input, returned?.output) ?? `${JSON.stringify(input)} -> ${answer}`;
  return `client ${client}: ${what} [${calledAt}, ${returned?.at ?? "..."}]`;
}
