import { expect, test } from "vitest";
import type { RaftId } from "../core/peer.ts";
import { type BootId, STARTS_REMEMBERED } from "../metadata/records.ts";
import { Incarnations } from "./incarnations.ts";
import type { Boot, PeerMessage } from "./transport.ts";

const boot = (incarnation: number, letter = "a", term = 5, lastIndex = 100): Boot => ({
  incarnation,
  nonce: letter.repeat(16),
  earlier: [],
  term,
  lastIndex,
});
/** The newest of the starts of one disk, of which each letter is one, the first one first. */
const last = (letters: string, before = 0): Boot => {
  const [newest = "", ...earlier] = [...letters].reverse();
  return { ...boot(before + letters.length, newest), earlier: earlier.map((letter) => letter.repeat(16)) };
};
const acknowledged = (term: number, index: number, rejected = false): PeerMessage => ({
  kind: "raft",
  message: { type: "appendReply", from: 2, to: 1, term, index, rejected, hintIndex: 0, hintTerm: 0 },
});
const voted = (term: number, rejected = false): PeerMessage => ({
  kind: "raft",
  message: { type: "voteReply", from: 2, to: 1, term, rejected },
});

function fixture(recorded = new Map<RaftId, BootId>(), own = boot(7, "e")) {
  const errors: Error[] = [];
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

test("G1: a disk that was put back is refused however many of its starts have died unheard, as long as it tells of them", () => {
  const { incarnations } = fixture();
  expect(incarnations.check(2, last("abc"))).toBeUndefined();
  // Put back as it was before the third start.
  for (const letters of ["abd", "abde", "abdef", `abd${"e".repeat(40)}`]) {
    const reason = letters.length === 3 ? "copied" : "forked";
    expect(incarnations.check(2, last(letters)), letters).toMatchObject({ reason, incarnation: letters.length });
  }
  // The disk as it was goes on, over starts of which nothing was heard here.
  expect(incarnations.check(2, last("abcdef"))).toBeUndefined();
  expect(incarnations.check(2, last("abcdefa"))).toBeUndefined();
});

test("G1: a disk that was wiped is refused by what it does not remember, at its first start and any later one", () => {
  const { incarnations } = fixture(new Map([[2, boot(2, "b")]]));
  expect(incarnations.check(2, last("c"))?.reason).toBe("passed");
  expect(incarnations.check(2, last("cd"))?.reason).toBe("copied");
  expect(incarnations.check(2, last("cde"))?.reason).toBe("forked");
  expect(incarnations.check(2, last(`cde${"f".repeat(30)}`))?.reason).toBe("forked");
});

test("who has never heard of a peer takes its first word, whatever it remembers", () => {
  expect(fixture().incarnations.check(2, last("abcdef"))).toBeUndefined();
});

test("a node that has started often while nobody heard it is taken, also where what it remembers does not reach back", () => {
  const within = last(`b${"c".repeat(STARTS_REMEMBERED)}`, 1);
  const beyond = last("c".repeat(STARTS_REMEMBERED + 1), 2);
  expect([within.earlier.length, beyond.earlier.length]).toEqual([STARTS_REMEMBERED, STARTS_REMEMBERED]);
  for (const often of [within, beyond]) {
    const { incarnations } = fixture();
    expect(incarnations.check(2, last("ab"))).toBeUndefined();
    expect(incarnations.check(2, often)).toBeUndefined();
  }
});

test("a program that tells nothing of earlier starts is judged by its number and its disk alone", () => {
  const { incarnations } = fixture();
  expect(incarnations.check(2, last("ab"))).toBeUndefined();
  expect(incarnations.check(2, boot(3, "c"))).toBeUndefined();
  expect(incarnations.check(2, boot(2, "b"))?.reason).toBe("passed");
});

test("G1: a start that was taken is taken no more once the catalog knows of one that it did not follow", () => {
  const { incarnations, recorded } = fixture();
  const stray = last("acd");
  expect(incarnations.check(2, stray)).toBeUndefined();
  incarnations.opened({ type: "session.open", raftId: 2, boot: boot(1, "a") });
  expect(incarnations.check(2, stray)).toBeUndefined();
  incarnations.opened({ type: "session.open", raftId: 2, boot: boot(2, "b") });
  expect(incarnations.check(2, stray)?.reason).toBe("forked");
  expect(incarnations.check(2, last("abc"))).toBeUndefined();
  expect(incarnations.check(3, stray)).toBeUndefined();
  recorded.set(3, boot(2, "b"));
  incarnations.replaced();
  expect(incarnations.check(3, stray)?.reason).toBe("forked");
});

test("G1: a node ends by itself where the log or a snapshot tells of a start that its disk does not remember", () => {
  const told = (letters: string, tell: (incarnations: Incarnations, recorded: Map<RaftId, BootId>) => void): number => {
    const { incarnations, errors, recorded } = fixture(new Map(), last(letters));
    tell(incarnations, recorded);
    return errors.length;
  };
  const entry = (incarnations: Incarnations): void => incarnations.opened({ type: "session.open", raftId: 1, boot: boot(2, "b") });
  const snapshot = (incarnations: Incarnations, recorded: Map<RaftId, BootId>): void => {
    recorded.set(1, boot(2, "b"));
    incarnations.replaced();
  };
  for (const tell of [entry, snapshot]) expect(["abc", "ab", "acd", "ac"].map((letters) => told(letters, tell))).toEqual([0, 0, 1, 1]);
});
