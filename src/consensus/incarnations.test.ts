import { expect, test } from "vitest";
import type { RaftId } from "../core/peer.ts";
import type { BootId } from "../metadata/records.ts";
import { Incarnations } from "./incarnations.ts";
import type { Boot, PeerMessage } from "./transport.ts";

const boot = (incarnation: number, letter = "a", term = 5, lastIndex = 100): Boot => ({
  incarnation,
  nonce: letter.repeat(16),
  term,
  lastIndex,
});
const acknowledged = (term: number, index: number, rejected = false): PeerMessage => ({
  kind: "raft",
  message: { type: "appendReply", from: 2, to: 1, term, index, rejected, hintIndex: 0, hintTerm: 0 },
});
const voted = (term: number, rejected = false): PeerMessage => ({
  kind: "raft",
  message: { type: "voteReply", from: 2, to: 1, term, rejected },
});

function fixture(recorded = new Map<RaftId, BootId>()) {
  const errors: Error[] = [];
  const own = boot(7, "e");
  const incarnations = new Incarnations({
    self: 1,
    boot: own,
    recorded: (peer) => recorded.get(peer),
    outdated: (error) => errors.push(error),
  });
  return { incarnations, errors, recorded, own };
}

test("a start that a later one has followed is refused, and so is another of the same number", () => {
  const { incarnations } = fixture();
  const second = boot(2);
  expect(incarnations.check(2, second)).toBeUndefined();
  expect(incarnations.check(2, boot(1))).toEqual({ reason: "passed", incarnation: 1, nonce: boot(1).nonce });
  expect(incarnations.check(2, boot(2, "b"))?.reason).toBe("copied");
  expect(incarnations.check(2, second)).toBeUndefined();
  // Another stream of the same start.
  expect(incarnations.check(2, boot(2))).toBeUndefined();
  expect(incarnations.check(2, boot(3, "c"))).toBeUndefined();
  expect(incarnations.check(2, second)?.reason).toBe("passed");
  // Each peer has numbers of its own.
  expect(incarnations.check(3, boot(1))).toBeUndefined();
});

test("G1: a disk that lacks what its node has acknowledged is refused, though its number is a new one", () => {
  const { incarnations } = fixture();
  const first = boot(1, "a", 5, 100);
  expect(incarnations.check(2, first)).toBeUndefined();
  incarnations.heard(2, [acknowledged(5, 140), acknowledged(5, 120), acknowledged(5, 900, true)]);
  expect(incarnations.check(2, boot(2, "b", 5, 139))?.reason).toBe("behind");
  expect(incarnations.check(2, boot(2, "b", 4, 500))?.reason).toBe("behind");
  // The original goes on beside its copy, also over a new stream, which says what was there when it started.
  expect(incarnations.check(2, boot(1, "a", 5, 100))).toBeUndefined();
  expect(incarnations.check(2, boot(2, "b", 5, 140))).toBeUndefined();
});

test("G1: a disk that has forgotten a vote is refused; a later term may have cut its log short", () => {
  const { incarnations } = fixture();
  incarnations.check(2, boot(1));
  incarnations.heard(2, [acknowledged(5, 140), voted(6)]);
  expect(incarnations.check(2, boot(2, "b", 5, 200))?.reason).toBe("behind");
  expect(incarnations.check(2, boot(2, "b", 6, 90))).toBeUndefined();
});

test("what the catalog knows of a peer's start holds after a restart of this node", () => {
  const { incarnations, recorded } = fixture(new Map([[2, boot(5)]]));
  expect(incarnations.check(2, boot(4))?.reason).toBe("passed");
  expect(incarnations.check(2, boot(5, "b"))?.reason).toBe("copied");
  const fifth = boot(5);
  expect(incarnations.check(2, fifth)).toBeUndefined();
  incarnations.opened({ type: "session.open", raftId: 2, boot: boot(6, "f") });
  expect(incarnations.check(2, fifth)?.reason).toBe("passed");
  expect(incarnations.check(2, boot(6, "f"))).toBeUndefined();
  recorded.set(2, boot(8));
  incarnations.replaced();
  expect(incarnations.check(2, boot(7))?.reason).toBe("passed");
});

test("a refusal ends the start that it is about, and no other", () => {
  const { incarnations, errors, own } = fixture();
  incarnations.refused(2, { reason: "passed", incarnation: 6, nonce: "d".repeat(16) });
  incarnations.opened({ type: "session.open", raftId: 1, boot: boot(6, "d") });
  incarnations.opened({ type: "session.open", raftId: 1, boot: own });
  incarnations.opened({ type: "session.open", raftId: 1 });
  expect(errors).toEqual([]);
  incarnations.refused(2, { ...own, reason: "behind" });
  incarnations.opened({ type: "session.open", raftId: 1, boot: boot(7, "d") });
  expect(errors).toMatchObject([{ code: "outdated" }, { code: "outdated" }]);
  expect(errors[0]?.message).toContain("member 2 says that the disk lacks what the node has acknowledged");
  expect(errors[0]?.message).toContain("Replace the node");
});
