import { expect, test } from "vitest";
import type { PeerMessage } from "../../src/consensus/transport.ts";
import { commitBound } from "./commit-bound.ts";

const HEAD = { from: 1, to: 2, term: 3 };
const ENTRIES = [5, 6].map((index) => ({ index, term: 3, type: "normal" as const, data: undefined }));

function raft(message: Extract<PeerMessage, { kind: "raft" }>["message"]): PeerMessage {
  return { kind: "raft", message };
}

test("an append lets its receiver commit no more than it brings, whatever the leader has committed", () => {
  const append = { type: "append", ...HEAD, prevIndex: 4, prevTerm: 3, entries: ENTRIES } as const;
  expect(commitBound([raft({ ...append, commit: 9 })])).toBe(6);
  expect(commitBound([raft({ ...append, commit: 5 })])).toBe(5);
});

test("the farthest of several messages counts; what says nothing of commits lets nothing be committed", () => {
  const heartbeat = raft({ type: "heartbeat", ...HEAD, commit: 7, read: 0 });
  const refusal = raft({ type: "voteReply", ...HEAD, rejected: true, committed: { index: 8, term: 2 } });
  expect(commitBound([heartbeat, refusal, { kind: "ping" }])).toBe(8);
  expect(commitBound([{ kind: "ping" }, raft({ type: "timeoutNow", ...HEAD })])).toBe(0);
});
