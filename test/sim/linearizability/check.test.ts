import { expect, test } from "vitest";
import { checkLinearizable } from "./check.ts";
import { explainViolation } from "./explain.ts";
import { parseJepsenLog, parseStoreLog } from "./histories.ts";
import type { Operation } from "./model.ts";
import { type RegisterInput, type RegisterOutput, registerModel, type StoreInput, storeModel } from "./specifications.ts";

type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

/** Each operation in these tests has a client of its own; where it matters the times say who went first. */
function read(value: number | null, calledAt: number, at: number): RegisterOperation {
  return { client: `r${calledAt}`, input: { type: "read" }, calledAt, returned: { at, output: value } };
}

/** @param at absent: no answer came */
function write(value: number, calledAt: number, at?: number): RegisterOperation {
  return { client: `w${calledAt}`, input: { type: "write", value }, calledAt, ...(at !== undefined && { returned: { at, output: true } }) };
}

function cas(from: number, to: number, calledAt: number, answer?: { at: number; output: boolean }): RegisterOperation {
  return { client: `c${calledAt}`, input: { type: "cas", from, to }, calledAt, ...(answer && { returned: answer }) };
}

function isLinearizable(...history: RegisterOperation[]): boolean {
  return checkLinearizable(registerModel, history).ok;
}

test("the empty history is linearizable", () => {
  expect(isLinearizable()).toBe(true);
});

test("G2: a read that begins after the answer to a write must see it", () => {
  expect(isLinearizable(write(1, 0, 1), write(2, 2, 3), read(2, 4, 5))).toBe(true);
  expect(isLinearizable(write(1, 0, 1), write(2, 2, 3), read(1, 4, 5))).toBe(false);
  expect(isLinearizable(write(1, 0, 1), read(null, 2, 3))).toBe(false);
});

test("a read beside a write may see it or not, but a later read does not go back", () => {
  expect(isLinearizable(write(1, 0, 1), write(2, 2, 9), read(1, 3, 4), read(2, 5, 6))).toBe(true);
  expect(isLinearizable(write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6))).toBe(false);
});

test("equal times count as concurrent", () => {
  expect(isLinearizable(write(1, 0, 2), read(null, 2, 3))).toBe(true);
  expect(isLinearizable(write(1, 0, 2), read(null, 3, 3))).toBe(false);
});

test("the order in which operations are listed does not matter", () => {
  const history = [write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)];
  expect(isLinearizable(...history.toReversed())).toBe(false);
  expect(isLinearizable(...[write(1, 0, 1), write(2, 2, 9), read(1, 3, 4), read(2, 5, 6)].toReversed())).toBe(true);
});

test("concurrent writes may take effect in either order, but in one", () => {
  expect(isLinearizable(write(1, 0, 9), write(2, 1, 8), read(1, 10, 11), read(1, 12, 13))).toBe(true);
  expect(isLinearizable(write(1, 0, 9), write(2, 1, 8), read(2, 10, 11), read(2, 12, 13))).toBe(true);
  expect(isLinearizable(write(1, 0, 9), write(2, 1, 8), read(2, 10, 11), read(1, 12, 13))).toBe(false);
});

test("a write without an answer may take effect late, at once, or never", () => {
  expect(isLinearizable(write(1, 0, 1), write(2, 2), read(1, 3, 4), read(1, 5, 6), read(2, 7, 8))).toBe(true);
  expect(isLinearizable(write(1, 0, 1), write(2, 2), read(2, 3, 4))).toBe(true);
  expect(isLinearizable(write(1, 0, 1), write(2, 2), read(1, 3, 4))).toBe(true);
});

test("a write without an answer that was seen stays seen", () => {
  expect(isLinearizable(write(1, 0, 1), write(2, 2), read(2, 3, 4), read(1, 5, 6))).toBe(false);
});

test("a write without an answer takes no effect before its call", () => {
  expect(isLinearizable(write(1, 0, 1), read(2, 2, 3), write(2, 4))).toBe(false);
});

test("a write without an answer takes effect once", () => {
  const history = [write(1, 0, 1), write(2, 2), read(2, 3, 4), write(1, 5, 6), read(2, 7, 8)];
  expect(isLinearizable(...history)).toBe(false);
  expect(isLinearizable(...history, write(2, 2))).toBe(true);
});

test("a compare-and-set without an answer takes effect only where it finds its value", () => {
  expect(isLinearizable(write(1, 0, 1), cas(1, 2, 2), read(2, 3, 4))).toBe(true);
  expect(isLinearizable(write(3, 0, 1), cas(1, 2, 2), read(2, 3, 4))).toBe(false);
});

test("of two compare-and-sets from one value only one succeeds", () => {
  const won = { at: 9, output: true };
  expect(isLinearizable(write(0, 0, 1), cas(0, 1, 2, won), cas(0, 2, 3, { at: 8, output: false }))).toBe(true);
  expect(isLinearizable(write(0, 0, 1), cas(0, 1, 2, won), cas(0, 2, 3, won))).toBe(false);
});

test("parts do not hide each other's violations, nor share their state", () => {
  const put = (key: string, value: string, at: number): Operation<StoreInput, string> => {
    return { client: 0, input: { type: "put", key, value }, calledAt: at, returned: { at: at + 1, output: "" } };
  };
  const get = (key: string, output: string, at: number): Operation<StoreInput, string> => {
    return { client: 1, input: { type: "get", key }, calledAt: at, returned: { at: at + 1, output } };
  };
  expect(checkLinearizable(storeModel, [put("a", "1", 0), put("b", "2", 2), get("a", "1", 4), get("b", "2", 6)]).ok).toBe(true);
  const verdict = checkLinearizable(storeModel, [put("a", "1", 0), put("b", "2", 2), get("a", "1", 4), get("b", "1", 6)]);
  expect(verdict).toMatchObject({ ok: false, violation: { part: "b", operation: { calledAt: 6 }, operationCount: 2 } });
});

/** Appends that nobody reads before the end: every order of them is a state of its own. */
function hardPart(key: string): Operation<StoreInput, string>[] {
  const appends = Array.from({ length: 12 }, (_, client): Operation<StoreInput, string> => {
    return { client, input: { type: "append", key, value: `${client},` }, calledAt: client, returned: { at: 100 + client, output: "" } };
  });
  return [...appends, { client: 99, input: { type: "get", key }, calledAt: 200, returned: { at: 201, output: "lost" } }];
}

test("a part that is easily refused ends the check, though a hard one comes before it", () => {
  const easy: Operation<StoreInput, string> = {
    client: 0,
    input: { type: "get", key: "easy" },
    calledAt: 0,
    returned: { at: 1, output: "x" },
  };
  expect(checkLinearizable(storeModel, [...hardPart("hard"), easy])).toMatchObject({ ok: false, violation: { part: "easy" } });
});

test("a search without end is given up with a word on what to do, never with a verdict", () => {
  expect(() => checkLinearizable(storeModel, hardPart("hard"), { configurationsMax: 5_000 })).toThrow(
    /no verdict on 13 operations after 5000 configurations.*raise configurationsMax/,
  );
});

test("forty writes without an answer are refused or accepted without a try of every combination", () => {
  const unanswered = Array.from({ length: 40 }, (_, index) => write(100 + index, index));
  const writes = Array.from({ length: 10 }, (_, index) => write(index, 50 + 2 * index, 51 + 2 * index));
  const refused = checkLinearizable(registerModel, [...unanswered, ...writes, read(8, 80, 81)], { configurationsMax: 5_000 });
  expect(refused.ok).toBe(false);
  const seen = [read(139, 80, 81), read(120, 82, 83)];
  expect(checkLinearizable(registerModel, [...unanswered, ...writes, ...seen], { configurationsMax: 5_000 }).ok).toBe(true);
});

test("states that are not primitive are compared by their identity", () => {
  const history = Array.from({ length: 10 }, (_, client) => ({
    client,
    input: client,
    calledAt: client,
    returned: { at: 100 + client, output: 1 },
  }));
  const step = (state: readonly number[], _: number, output: number | undefined) => ({
    ok: output !== undefined && state.length < 7,
    state: [...state, output ?? 0],
  });
  // All orders lead to equal states: with one configuration a set of operations the search ends soon; without, it has 10! / 3! orders.
  const verdict = checkLinearizable({ init: [] as readonly number[], step, identity: (state) => state.join() }, history);
  expect(verdict.ok).toBe(false);
  expect(verdict.configurations).toBeLessThan(2 ** 10);
});

test("a return before its call is refused as no history", () => {
  expect(() => isLinearizable(read(null, 5, 4))).toThrow(RangeError);
});

test("a violation names the answer that fits nowhere, the states it met, and what ran beside it", () => {
  const verdict = checkLinearizable(registerModel, [
    write(1, 0, 1),
    read(1, 2, 3),
    write(2, 4, 5),
    write(3, 6),
    read(1, 7, 10),
    read(2, 11, 12),
    write(4, 8, 20),
    write(5, 21, 22),
  ]);
  if (verdict.ok) throw new Error("the stale read was accepted");
  expect(verdict.violation.operation).toEqual(read(1, 7, 10));
  expect(new Set(verdict.violation.states)).toEqual(new Set([2, 3, 4]));
  expect(explainViolation(registerModel, verdict.violation)).toEqual([
    "not linearizable: of 8 operations 5 can be put in an order, then this answer fits nowhere",
    "  client r7: read -> 1 [7, 10]",
    "while it ran the state was one of: 3 | 4 | 2",
    "the order up to there:",
    "  client w0: write 1 -> true [0, 1]",
    "  client r2: read -> 1 [2, 3]",
    "  client w4: write 2 -> true [4, 5]",
    "  client w8: write 4 -> true [8, 20]",
    "  client w6: write 3 -> no answer [6, ...]",
    "beside it ran, in no place yet:",
    "  nothing",
  ]);
});

test("states met at an earlier dead end are no part of the explanation", () => {
  const verdict = checkLinearizable(registerModel, [write(1, 0, 9), write(2, 1, 8), read(1, 10, 11), write(3, 12, 13), read(4, 14, 15)]);
  expect(verdict).toMatchObject({ ok: false, violation: { operation: read(4, 14, 15), states: [3] } });
});

test("an explanation of a long history shows its end, and says what it leaves out", () => {
  const writes = Array.from({ length: 30 }, (_, index) => write(index, 2 * index, 2 * index + 1));
  const open = Array.from({ length: 20 }, () => cas(77, 78, 70));
  const verdict = checkLinearizable(registerModel, [...writes, ...open, read(5, 80, 81)]);
  if (verdict.ok) throw new Error("the stale read was accepted");
  const lines = explainViolation(registerModel, verdict.violation);
  expect(lines).toHaveLength(4 + 8 + 1 + 12 + 1);
  expect(lines[3]).toBe("the order up to there (the last 8):");
  expect(lines.slice(4, 12).at(-1)).toBe("  client w58: write 29 -> true [58, 59]");
  expect(lines.at(-1)).toBe("  and 8 more");
});

test("a line of a log that is not understood is an error that names it", () => {
  expect(() => parseJepsenLog("INFO  jepsen.util - 0\t:invoke\t:read\tnil\nelection")).toThrow("line 2 is no event");
  expect(() => parseJepsenLog("INFO  jepsen.util - 0\t:ok\t:read\tnil")).toThrow("line 1 is no event");
  expect(() => parseStoreLog('{:process 0, :type :fail, :f :get, :key "0", :value nil}')).toThrow("line 1 is no event");
});
