import { expect, test } from "vitest";
import { Inflights } from "./inflights.ts";
import { Progress } from "./progress.ts";

const fresh = (match: number, next: number): Progress => new Progress(match, next, false, new Inflights(2, 100));

function replicating(match: number): Progress {
  const progress = fresh(match, match + 1);
  progress.becomeReplicate();
  return progress;
}

test("a commit index is worth sending only where the last one sent does not cover all that the peer was sent", () => {
  const progress = replicating(5);
  progress.sentEntries(3, 0);
  progress.sentCommit(5);
  expect([5, 6, 9].map((commit) => progress.canBumpCommit(commit))).toEqual([false, true, true]);
  // The peer has got nothing beyond 8: what lies above comes with the entries themselves.
  progress.sentCommit(8);
  expect(progress.canBumpCommit(9)).toBe(false);
});

test("a probe that is refused steps back to the hint, never below what matches; a stale refusal changes nothing", () => {
  const progress = fresh(2, 9);
  expect(progress.maybeDecrease(7, 3)).toBe(false);
  progress.sentEntries(1, 0);
  expect(progress.paused).toBe(true);
  expect(progress.maybeDecrease(8, 5)).toBe(true);
  expect([progress.next, progress.paused]).toEqual([6, false]);
  expect(progress.maybeDecrease(5, 0)).toBe(true);
  expect(progress.next).toBe(3);
});

test("a pipelined append that is refused falls back to what matches, unless it is known to match", () => {
  const progress = replicating(4);
  progress.sentEntries(2, 0);
  expect(progress.maybeDecrease(4, 3)).toBe(false);
  expect(progress.maybeDecrease(6, 5)).toBe(true);
  expect(progress.next).toBe(5);
});

test("a commit index that was sent behind a refused append counts as lost", () => {
  const progress = replicating(4);
  progress.sentEntries(2, 0);
  progress.sentCommit(6);
  progress.maybeDecrease(6, 4);
  progress.sentEntries(2, 0);
  expect(progress.canBumpCommit(6)).toBe(true);
});

test("a full window pauses; an acknowledgement frees it", () => {
  const progress = replicating(0);
  progress.sentEntries(1, 0);
  progress.sentEntries(1, 0);
  expect([progress.paused, progress.inflights.full]).toEqual([true, true]);
  expect(progress.maybeUpdate(1)).toBe(true);
  progress.inflights.freeThrough(1);
  expect([progress.paused, progress.inflights.count, progress.next]).toEqual([false, 1, 3]);
  expect(progress.maybeUpdate(1)).toBe(false);
});

test("after a snapshot the peer is probed from behind it, or, where it failed, from what matches", () => {
  const installed = fresh(3, 4);
  installed.becomeSnapshot(9);
  expect([installed.paused, installed.next]).toEqual([true, 10]);
  installed.becomeProbe();
  expect([installed.next, installed.pendingSnapshot]).toEqual([10, 0]);
  const failed = fresh(3, 4);
  failed.becomeSnapshot(9);
  failed.pendingSnapshot = 0;
  failed.becomeProbe();
  expect(failed.next).toBe(4);
});
