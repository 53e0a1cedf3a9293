import { expect, test } from "vitest";
import { seededRandom } from "../core/random.ts";
import type { Status } from "../raft/raw-node.ts";
import { LeaderLoss } from "./leader-loss.ts";
import { ManualClock } from "./manual-clock.ts";

function fixture() {
  const clock = new ManualClock();
  const calls: string[] = [];
  const state = { term: 4, role: "follower", leader: 2, heard: false };
  const loss = new LeaderLoss({
    clock,
    random: seededRandom(3),
    tickMs: 100,
    node: {
      status: () => ({ term: state.term, role: state.role, leader: state.leader }) as Status,
      forgetLeader: () => {
        calls.push("forget");
        state.leader = 0;
      },
      campaign: () => calls.push("campaign"),
    },
    leader: () => state.leader,
    heardWithin: () => state.heard,
    campaigned: () => undefined,
  });
  return { clock, calls, state, loss };
}

test("a silent leader that refuses connections is forgotten at once, and an election follows within three ticks", () => {
  const { clock, calls, loss } = fixture();
  loss.unreachable(2);
  expect(calls).toEqual(["forget"]);
  clock.advance(300);
  expect(calls).toEqual(["forget", "campaign"]);
});

test("a leader that was heard of a moment ago is kept, and so is one that another peer is not", () => {
  const { clock, calls, state, loss } = fixture();
  loss.unreachable(3);
  state.heard = true;
  loss.unreachable(2);
  clock.advance(1_000);
  expect(calls).toEqual([]);
});

test("nobody stands for election where a leader was found meanwhile, or the term has moved on", () => {
  for (const change of [{ leader: 3 }, { term: 5 }, { role: "preCandidate" }]) {
    const { clock, calls, state, loss } = fixture();
    loss.unreachable(2);
    Object.assign(state, change);
    clock.advance(1_000);
    expect(calls).toEqual(["forget"]);
  }
});

test("one term is given up once, however often the connection is refused", () => {
  const { clock, calls, state, loss } = fixture();
  loss.unreachable(2);
  state.leader = 2;
  loss.unreachable(2);
  clock.advance(1_000);
  expect(calls).toEqual(["forget"]);
});
