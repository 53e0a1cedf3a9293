import { expect, test } from "vitest";
import type { AppliedCommand } from "../../src/metadata/apply-entry.ts";
import type { Refusal } from "../../src/metadata/commands.ts";
import { SESSION_WINDOW } from "../../src/metadata/outcome-rows.ts";
import { SessionRules } from "./session-rules.ts";

const SESSION = 1;
const NOTHING = { type: "clock.tick" } as const;

/** What the rules say once the commands have applied at node 1, each in an entry of its own, or in the one that it names. */
function judge(...commands: Partial<AppliedCommand>[]): string | undefined {
  let found: string | undefined;
  const rules = new SessionRules((invariant) => {
    found ??= invariant;
  });
  for (const [at, each] of commands.entries()) {
    const { index = at + 1 } = each;
    const applied = { session: SESSION, sequence: 0, lowest: 0, duplicate: false, command: NOTHING, outcome: { index }, ...each, index };
    rules.sealed(1, index);
    rules.applied(1, applied);
  }
  return found;
}

const opens = (incarnation: number, value: number = SESSION): Partial<AppliedCommand> => ({
  session: 0,
  command: { type: "session.open", raftId: 7, boot: { incarnation, nonce: `n${incarnation}`, earlier: [] } },
  outcome: { index: value, value },
});
const does = (sequence: number, lowest = 0): Partial<AppliedCommand> => ({ sequence, lowest });
const answers = (sequence: number, first: number, lowest = 0): Partial<AppliedCommand> => ({
  sequence,
  lowest,
  duplicate: true,
  outcome: { index: first },
});
const refuses = (sequence: number, lowest = 0, duplicate = true, refused: Refusal = "session"): Partial<AppliedCommand> => ({
  sequence,
  lowest,
  duplicate,
  outcome: { index: 0, refused },
});

const ONCE = "a session does each command once";

test("G8: a command is done the first time, and answered alike when it comes again", () => {
  expect(judge(opens(1), does(0), does(1), answers(0, 2))).toBeUndefined();
  expect(judge(opens(1), does(0), does(0))).toBe(ONCE);
  expect(judge(opens(1), does(0), does(1), answers(0, 3))).toBe(ONCE);
  expect(judge(opens(1), answers(0, 1))).toBe(ONCE);
});

test("G8: a command that was given up is refused for good, also where a late copy knows less of that", () => {
  expect(judge(opens(1), does(0), does(1, 1), refuses(0))).toBeUndefined();
  expect(judge(opens(1), does(0), does(1, 1), answers(0, 2))).toBe(ONCE);
  expect(judge(opens(1), does(0), does(2, 2), answers(2, 3, 1), does(1, 1))).toBe(ONCE);
  expect(judge(opens(1), does(0), does(1), refuses(1, 1))).toBe(ONCE);
  expect(judge(opens(1), refuses(SESSION_WINDOW, 0, false))).toBeUndefined();
  expect(judge(opens(1), does(SESSION_WINDOW))).toBe(ONCE);
});

test("a session that has ended stays so; of one that was never seen to open nothing is said", () => {
  expect(judge(opens(1), does(0), refuses(1, 0, false), refuses(2, 0, false))).toBeUndefined();
  expect(judge(opens(1), does(0), refuses(1, 0, false), does(2))).toBe("a session that has ended answers nothing");
  expect(judge(does(3), does(3))).toBeUndefined();
});

test("a session is of one start, and none is opened for a start that another has followed", () => {
  expect(judge(opens(1), opens(1), opens(2, 3), opens(3, 4))).toBeUndefined();
  expect(judge(opens(1), opens(2))).toBe("a session is of one start");
  expect(judge(opens(2), opens(1, 2))).toBe("a start that another has followed opens no session");
});

test("what applies a second time, in another replica or after a crash, is not judged again", () => {
  expect(judge(opens(1), does(0), { ...does(0), index: 2 })).toBeUndefined();
  expect(judge(opens(1), does(0), { ...does(5), index: 9 }, { ...does(5), index: 10 })).toBeUndefined();
});
