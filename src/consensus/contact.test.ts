import { expect, test } from "vitest";
import type { ConfState } from "../raft/types.ts";
import { Contact } from "./contact.ts";
import { ManualClock } from "./manual-clock.ts";

const conf = (voters: number[], votersOutgoing: number[] = []): ConfState => ({
  voters,
  votersOutgoing,
  learners: [],
  learnersNext: [],
  autoLeave: false,
});

function fixture(configuration: ConfState, self = 1) {
  const clock = new ManualClock();
  const pinged: number[] = [];
  const changes: boolean[] = [];
  const contact = new Contact({
    self,
    clock,
    timeoutMs: 1_000,
    tickMs: 100,
    ping: (to) => pinged.push(to),
    changed: (cutOff) => changes.push(cutOff),
  });
  const pass = (ms: number, heard: number[] = []): void => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      for (const id of heard) contact.heard(id);
      contact.check(configuration);
    }
  };
  const stall = (ms: number): void => {
    clock.advance(ms);
    contact.check(configuration);
  };
  return { contact, pinged, changes, pass, stall };
}

test("G3: a node is cut off after one election timeout without a majority, and comes back with the first message", () => {
  const { contact, pass, changes } = fixture(conf([1, 2, 3]));
  pass(3_000, [2]);
  expect(contact.cutOff).toBe(false);
  pass(900);
  expect(contact.cutOff).toBe(false);
  pass(300);
  expect(contact.cutOff).toBe(true);
  contact.heard(3);
  contact.recheck(conf([1, 2, 3]));
  expect(contact.cutOff).toBe(false);
  expect(changes).toEqual([true, false]);
});

test("followers of a silent leader ask each other, and a pong keeps them in contact", () => {
  const { contact, pass, pinged } = fixture(conf([1, 2, 3]));
  pass(2_000, [2]);
  pinged.length = 0;
  pass(400);
  expect(new Set(pinged)).toEqual(new Set([2, 3]));
  pass(5_000, [3]);
  expect(contact.cutOff).toBe(false);
});

test("while enough is heard the others are asked only now and then", () => {
  const { pass, pinged, contact } = fixture(conf([1, 2, 3]));
  pass(300, [2, 3]);
  pinged.length = 0;
  pass(4_900, [2]);
  expect(pinged).toEqual([]);
  pass(500, [2]);
  expect(new Set(pinged)).toEqual(new Set([3]));
  contact.heard(3);
  pinged.length = 0;
  pass(4_900, [2]);
  expect(pinged).toEqual([]);
});

test("a node alone is in contact with itself; a learner counts voters alone", () => {
  const alone = fixture(conf([1]));
  alone.pass(5_000);
  expect(alone.contact.cutOff).toBe(false);
  const learner = fixture(conf([1, 2, 3]), 9);
  learner.pass(3_000, [1, 2]);
  expect(learner.contact.cutOff).toBe(false);
  learner.pass(3_000, [1]);
  expect(learner.contact.cutOff).toBe(true);
});

test("a joint configuration needs a majority of both halves", () => {
  const { contact, pass } = fixture(conf([1, 2, 3], [1, 4, 5]));
  pass(3_000, [2, 3]);
  expect(contact.cutOff).toBe(true);
  pass(200, [2, 4]);
  expect(contact.cutOff).toBe(false);
});

test("failed barriers mean cut off though messages come, until one is answered", () => {
  const { contact, pass } = fixture(conf([1, 2, 3]));
  pass(500, [2]);
  contact.setUnanswered(true);
  pass(500, [2]);
  expect(contact.cutOff).toBe(true);
  contact.setUnanswered(false);
  expect(contact.cutOff).toBe(false);
});

test("G3: a node whose own event loop stood still is not cut off by that: what came in meanwhile is read after the tick", () => {
  const { contact, pass, stall, changes } = fixture(conf([1, 2, 3]));
  pass(2_000, [2]);
  stall(5_000);
  expect(contact.cutOff).toBe(false);
  pass(500, [2]);
  stall(5_000);
  expect(changes).toEqual([]);
  pass(1_000);
  expect(contact.cutOff).toBe(true);
});
