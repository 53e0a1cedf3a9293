import { assert as check, constantFrom, dictionary, integer, property, record, uniqueArray } from "fast-check";
import { expect, test } from "vitest";
import { type JointVoters, jointCommitted, jointVote, majorityCommitted, UNBOUNDED } from "./quorum.ts";
import type { NodeId } from "./types.ts";

const half = uniqueArray(integer({ min: 1, max: 8 }), { maxLength: 6 }).map((ids) => ids.sort((a, b) => a - b));
const acks = dictionary(constantFrom("1", "2", "3", "4", "5", "6", "7", "8"), integer({ min: 0, max: 5 }));
const votes = dictionary(constantFrom("1", "2", "3", "4", "5", "6", "7", "8"), constantFrom(true, false));

function isMajority(ids: readonly NodeId[], accepts: (id: NodeId) => boolean): boolean {
  return ids.length === 0 || ids.filter(accepts).length * 2 > ids.length;
}

function inBoth({ incoming, outgoing }: JointVoters, accepts: (id: NodeId) => boolean): boolean {
  return isMajority(incoming, accepts) && isMajority(outgoing, accepts);
}

test("the committed index is the largest that a majority of each half has", () => {
  check(
    property(record({ incoming: half, outgoing: half }), acks, (voters, acked) => {
      const of = (id: NodeId): number => acked[id] ?? 0;
      const expected = [5, 4, 3, 2, 1, 0].find((index) => inBoth(voters, (id) => of(id) >= index));
      const isEmpty = voters.incoming.length + voters.outgoing.length === 0;
      expect(jointCommitted(voters, of)).toBe(isEmpty ? UNBOUNDED : expected);
    }),
  );
});

test("a vote is won by a majority of each half, and lost once that cannot be any more", () => {
  check(
    property(record({ incoming: half, outgoing: half }), votes, (voters, cast) => {
      const of = (id: NodeId): boolean | undefined => cast[id];
      const won = inBoth(voters, (id) => of(id) === true);
      const open = inBoth(voters, (id) => of(id) !== false);
      expect(jointVote(voters, of)).toBe(won ? "won" : open ? "pending" : "lost");
    }),
  );
});

test("an empty half bounds nothing", () => {
  expect(majorityCommitted([], () => 7)).toBe(UNBOUNDED);
});
