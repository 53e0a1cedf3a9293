import { expect, test } from "vitest";
import type { Command } from "../metadata/commands.ts";
import { COMMANDS_IN_ENTRY_MAX, encodeEnvelope } from "../metadata/entry.ts";
import { groupsOf } from "./proposal-groups.ts";

const REVOKE: Command = { type: "token.revoke", id: "a" };
const OPEN: Command = { type: "session.open", raftId: 1 };
const envelope = (sequence: number, command: Command = REVOKE): Uint8Array =>
  encodeEnvelope({ v: 1, session: 7, sequence, lowest: 0, command });

test("commands of one turn share an entry, in their order; one that has to be alone divides them", () => {
  const [a, b, open, again, c] = [envelope(1), envelope(2), envelope(3, OPEN), envelope(4, OPEN), envelope(5)] as const;
  expect(groupsOf([a, b, open, again, c])).toEqual([[a, b], [open], [again], [c]]);
  expect(groupsOf([open, a])).toEqual([[open], [a]]);
  expect(groupsOf([])).toEqual([]);
});

test("an entry holds as many commands and bytes as it may, and one that is longer than that goes alone", () => {
  const many = Array.from({ length: COMMANDS_IN_ENTRY_MAX + 3 }, (_, at) => envelope(at));
  expect(groupsOf(many).map(({ length }) => length)).toEqual([COMMANDS_IN_ENTRY_MAX, 3]);
  const long = (kib: number): Uint8Array => new Uint8Array(kib * 1024);
  expect(groupsOf([long(60), long(60), long(60), long(900), long(1)]).map((group) => group.map((each) => each.byteLength / 1024))).toEqual([
    [60, 60],
    [60],
    [900],
    [1],
  ]);
});
