import fc from "fast-check";
import { expect, test } from "vitest";
import { checkLinearizable } from "./check.ts";
import type { Operation } from "./model.ts";
import { type RegisterInput, type RegisterOutput, registerModel } from "./specifications.ts";

type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

const NEVER_WRITTEN = 1_000;
const value = fc.integer({ min: 0, max: 2 });
const input: fc.Arbitrary<RegisterInput> = fc.oneof(
  fc.record({ type: fc.constant("read" as const) }),
  fc.record({ type: fc.constant("write" as const), value }),
  fc.record({ type: fc.constant("cas" as const), from: value, to: value }),
);

/** Requests of one client, one after the other, by the time that passes before the call, the effect and the return. */
const requests = fc.array(
  fc.record({
    input,
    pauseMs: fc.nat(3),
    untilEffectMs: fc.nat(20),
    untilReturnMs: fc.nat(20),
    // Beside the answer, the effect may be lost: both are what a client sees as a time-out.
    fate: fc.oneof({ weight: 6, arbitrary: fc.constant("answered") }, fc.constant("unanswered"), fc.constant("lost")),
  }),
  { maxLength: 14 },
);

/** What a register does, and clients see, when every operation takes effect at one moment. */
const executions = fc.array(requests, { minLength: 1, maxLength: 5 }).map((clients) => {
  const runs = clients.flatMap((list, client) => {
    let now = 0;
    return list.map(({ input, pauseMs, untilEffectMs, untilReturnMs, fate }) => {
      const calledAt = now + pauseMs;
      const effectAt = calledAt + untilEffectMs;
      now = effectAt + untilReturnMs;
      return { client, input, calledAt, effectAt, at: now, fate };
    });
  });
  let state = registerModel.init;
  return runs
    .toSorted((a, b) => a.effectAt - b.effectAt)
    .map(({ client, input, calledAt, at, fate }): RegisterOperation => {
      if (fate === "lost") return { client, input, calledAt };
      const output = answerOf(state, input);
      ({ state } = registerModel.step(state, input, output));
      return { client, input, calledAt, ...(fate === "answered" && { returned: { at, output } }) };
    });
});

function answerOf(state: number | null, input: RegisterInput): RegisterOutput {
  if (input.type === "read") return state;
  return input.type === "write" ? true : state === input.from;
}

/**
 * By definition: tries every order, without memory or shortcut.
 * @param isRequired what must be in the order; the rest may be
 */
function isLinearizableByDefinition(
  history: readonly RegisterOperation[],
  isRequired = ({ returned }: RegisterOperation): boolean => returned !== undefined,
  state: number | null = registerModel.init,
): boolean {
  if (!history.some(isRequired)) return true;
  return history.some((candidate) => {
    const isFirst = history.every(({ returned }) => returned === undefined || candidate.calledAt <= returned.at);
    if (!isFirst) return false;
    const next = registerModel.step(state, candidate.input, candidate.returned?.output);
    const rest = history.filter((other) => other !== candidate);
    return next.ok && isLinearizableByDefinition(rest, isRequired, next.state);
  });
}

/** Any answers at all, right or wrong. */
const smallHistories = fc.array(
  fc
    .record({
      input,
      calledAt: fc.nat(12),
      tookMs: fc.nat(8),
      isAnswered: fc.nat(4),
      output: fc.oneof(value, fc.constant(null)),
      found: fc.boolean(),
    })
    .map(({ input, calledAt, tookMs, isAnswered, output, found }): RegisterOperation => {
      if (isAnswered === 0) return { client: 0, input, calledAt };
      const answer = input.type === "read" ? output : input.type === "write" ? true : found;
      return { client: 0, input, calledAt, returned: { at: calledAt + tookMs, output: answer } };
    }),
  { maxLength: 7 },
);

test("whatever a linearizable register answers is accepted", () => {
  fc.assert(
    fc.property(executions, (history) => checkLinearizable(registerModel, history).ok),
    { numRuns: 500 },
  );
});

test("a read of a value that was never written is refused, and named", () => {
  const mutated = executions
    .map((history) => ({ history, reads: history.filter(({ input, returned }) => input.type === "read" && returned !== undefined) }))
    .filter(({ reads }) => reads.length > 0)
    .chain(({ history, reads }) => fc.record({ history: fc.constant(history), read: fc.constantFrom(...reads) }));
  fc.assert(
    fc.property(mutated, ({ history, read }) => {
      const wrong = { ...read, returned: { at: read.returned?.at ?? 0, output: NEVER_WRITTEN } };
      const verdict = checkLinearizable(
        registerModel,
        history.map((operation) => (operation === read ? wrong : operation)),
      );
      expect(verdict).toMatchObject({ ok: false, violation: { operation: wrong } });
    }),
    { numRuns: 300 },
  );
});

test("any small history gets the verdict that trying every order gives", () => {
  const counts = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(smallHistories, (history) => {
      const expected = isLinearizableByDefinition(history);
      counts[expected ? "accepted" : "refused"] += 1;
      expect(checkLinearizable(registerModel, history).ok).toBe(expected);
    }),
    { numRuns: 3_000 },
  );
  expect(counts.accepted).toBeGreaterThan(300);
  expect(counts.refused).toBeGreaterThan(300);
});

test("where a small history is refused, an order fits all earlier answers, as the prefix shows, and none fits the one that is named too", () => {
  fc.assert(
    fc.property(smallHistories, (history) => {
      const verdict = checkLinearizable(registerModel, history);
      if (verdict.ok) return;
      const { operation, prefix, states, open } = verdict.violation;
      const end = operation.returned?.at ?? 0;
      const endedBefore = ({ returned }: RegisterOperation): boolean => returned !== undefined && returned.at < end;
      // Of several answers at the same time another may be the culprit's partner, so all of them count.
      const endedByThen = ({ returned }: RegisterOperation): boolean => returned !== undefined && returned.at <= end;
      expect(isLinearizableByDefinition(history, endedBefore)).toBe(true);
      const unexplained = history.filter((other) => endedBefore(other) && !prefix.includes(other));
      expect(unexplained).toEqual([]);
      expect(states).toContain(stateAfter(prefix));
      expect(open.filter((other) => prefix.includes(other) || other === operation)).toEqual([]);
      expect(isLinearizableByDefinition(history, endedByThen)).toBe(false);
    }),
    { numRuns: 3_000 },
  );
});

/** Fails where the model refuses the order. */
function stateAfter(order: readonly RegisterOperation[]): number | null {
  let state = registerModel.init;
  for (const [index, operation] of order.entries()) {
    const { ok, state: next } = registerModel.step(state, operation.input, operation.returned?.output);
    const overtaken = order.slice(index + 1).filter(({ returned }) => returned !== undefined && returned.at < operation.calledAt);
    expect({ ok, overtaken }).toEqual({ ok: true, overtaken: [] });
    state = next;
  }
  return state;
}
