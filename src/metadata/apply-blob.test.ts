import { expect, test } from "vitest";
import type { PieceHash } from "../core/pieces.ts";
import type { RepositoryName } from "../core/reference.ts";
import { digestNamed, rootNamed, Scenario } from "./scenario.ts";

// One test a row of design.md, "The record of a blob": state, command, guard, effect.

const A = "a" as RepositoryName;
const B = "b" as RepositoryName;
const PROXY = "p" as RepositoryName;
const BLOB = digestNamed("blob");
const IMAGE = digestNamed("image");
const EDGES = [{ digest: BLOB, kind: "blob" }] as const;
const LEASE = 100;

function cluster(members = 3): Scenario {
  const scenario = new Scenario({
    leaseMs: LEASE,
    graceMs: 10,
    trashKeepMs: 20,
    allowsRemote: (repository) => repository === PROXY,
    allowsAdoption: (repository) => repository === PROXY,
  });
  scenario.found(members);
  return scenario;
}

const ids = (scenario: Scenario): readonly number[] => [1, ...Array.from({ length: scenario.index - 2 }, (_, at) => at + 3)];

test("blob.commit: past its deadline it is refused, at it it is not", () => {
  const scenario = cluster(1);
  const late = {
    type: "blob.commit",
    repository: A,
    digest: BLOB,
    sizeBytes: 1,
    root: rootNamed("r"),
    copies: [1],
    deadline: 5,
    commitId: "c",
  } as const;
  scenario.time = 6;
  expect(scenario.run(late)).toMatchObject({ refused: "deadline", digest: BLOB });
  expect(scenario.blob(BLOB)).toBeUndefined();
  scenario.time = 5;
  expect(scenario.run(late).refused).toBeUndefined();
});

test("G1: blob.commit needs `need` copies among members; a stranger's or a removed member's counts for nothing", () => {
  const scenario = cluster();
  const [one = 0, two = 0, three = 0] = ids(scenario);
  expect(scenario.commit(A, BLOB, [one]).refused).toBe("need");
  expect(scenario.commit(A, BLOB, [one, 999]).refused).toBe("need");
  expect(scenario.commit(A, BLOB, [one, one]).refused).toBe("need");
  scenario.run({ type: "member.remove", raftId: three });
  expect(scenario.commit(A, BLOB, [one, three]).refused).toBe("need");
  expect(scenario.commit(A, BLOB, [one, two, 999]).refused).toBeUndefined();
  expect(scenario.blob(BLOB)?.copies).toEqual([one, two]);
});

test("G1: need counts a member that is down, and is 1 for a node alone", () => {
  const alone = cluster(1);
  expect(alone.commit(A, BLOB, [1]).refused).toBeUndefined();
  const pair = cluster(2);
  pair.run({ type: "member.state", raftId: 3, down: true });
  expect(pair.commit(A, BLOB, [1]).refused).toBe("need");
});

test("blob.commit: size and root must equal what the record says, in any state", () => {
  const scenario = cluster(1);
  scenario.commit(A, BLOB, [1]);
  const same = {
    type: "blob.commit",
    repository: B,
    digest: BLOB,
    sizeBytes: 10,
    root: rootNamed("blob"),
    copies: [1],
    deadline: 0,
    commitId: "c",
  } as const;
  expect(scenario.run({ ...same, sizeBytes: 11 }).refused).toBe("mismatch");
  expect(scenario.run({ ...same, root: "0".repeat(64) as PieceHash }).refused).toBe("mismatch");
  expect(scenario.run(same).refused).toBeUndefined();
});

test("blob.commit adds its copies to a live record, revives a condemned one with its own copies alone, and the lease only grows", () => {
  const scenario = cluster();
  const [one = 0, two = 0, three = 0] = ids(scenario);
  scenario.time = 50;
  scenario.commit(A, BLOB, [one, two]);
  scenario.commit(B, BLOB, [three]);
  expect(scenario.blob(BLOB)?.copies).toEqual([three, one, two]);
  scenario.time = 40;
  scenario.commit(A, BLOB, [one]);
  expect(scenario.link(A, BLOB)?.lease).toBe(150);
  scenario.time = 151;
  for (const repository of [A, B]) scenario.run({ type: "gc.unlink", repository, digest: BLOB });
  const { index } = scenario.run({ type: "gc.condemn", digest: BLOB });
  expect(scenario.blob(BLOB)).toMatchObject({ state: "condemned", condemnedAt: index });
  expect(scenario.commit(A, BLOB, [one]).refused).toBe("need");
  expect(scenario.commit(A, BLOB, [one, three]).refused).toBeUndefined();
  expect(scenario.blob(BLOB)).toMatchObject({ state: "live", condemnedAt: 0, acknowledged: [], copies: [one, three], links: 1 });
});

test("blob.remote: only into a project that allows it; adds its link in any state, and keeps a live record live", () => {
  const scenario = cluster(1);
  const remote = { type: "blob.remote", repository: PROXY, digest: BLOB, sizeBytes: 10, source: "up" } as const;
  expect(scenario.run({ ...remote, repository: A }).refused).toBe("state");
  expect(scenario.run(remote).refused).toBeUndefined();
  expect(scenario.blob(BLOB)).toMatchObject({ state: "remote", copies: [], links: 1, sourcedLinks: 1 });
  expect(scenario.run({ ...remote, sizeBytes: 11 }).refused).toBe("mismatch");
  scenario.commit(A, BLOB, [1]);
  expect(scenario.run(remote).refused).toBeUndefined();
  expect(scenario.blob(BLOB)).toMatchObject({ state: "live", copies: [1], links: 2, sourcedLinks: 1 });
});

test("blob.commit of a push clears the link's source; one of an upstream's bytes keeps it while nothing was pushed", () => {
  const scenario = cluster(1);
  scenario.run({ type: "blob.remote", repository: PROXY, digest: BLOB, sizeBytes: 10, source: "up" });
  scenario.commit(PROXY, BLOB, [1], "other");
  expect(scenario.link(PROXY, BLOB)?.source).toBe("up");
  scenario.commit(PROXY, BLOB, [1]);
  expect(scenario.link(PROXY, BLOB)?.source).toBeUndefined();
  scenario.commit(PROXY, BLOB, [1], "up");
  expect(scenario.link(PROXY, BLOB)?.source).toBeUndefined();
});

test("blob.adopt: live with one copy, exempt from need until it was spread, and only where the project migrates", () => {
  const scenario = cluster();
  const [one = 0, two = 0] = ids(scenario);
  const adopt = { type: "blob.adopt", repository: PROXY, digest: BLOB, sizeBytes: 10, copy: one } as const;
  expect(scenario.run({ ...adopt, repository: A }).refused).toBe("state");
  expect(scenario.run({ ...adopt, copy: 999 }).refused).toBe("unknown");
  expect(scenario.run(adopt).refused).toBeUndefined();
  expect(scenario.blob(BLOB)).toMatchObject({ state: "live", copies: [one], adopted: true });
  expect(scenario.put(PROXY, IMAGE, EDGES).refused).toBeUndefined();
  scenario.run({ type: "copy.add", digest: BLOB, copy: two, deadline: 0, commitId: "c" });
  expect(scenario.blob(BLOB)?.adopted).toBe(false);
  scenario.run({ type: "copy.drop", digest: BLOB, copy: two, bad: true });
  expect(scenario.put(PROXY, digestNamed("other"), EDGES).refused).toBe("need");
});

test("blob.mount: the source link must be visible; a remote record goes only where remote is allowed", () => {
  const scenario = cluster(1);
  const mount = { type: "blob.mount", source: A, target: B, digest: BLOB } as const;
  expect(scenario.run(mount).refused).toBe("unknown");
  scenario.time = 7;
  scenario.commit(A, BLOB, [1]);
  expect(scenario.run(mount).refused).toBeUndefined();
  expect(scenario.link(B, BLOB)).toMatchObject({ references: 0, lease: 7 + LEASE, zeroSince: 7 });
  expect(scenario.link(B, BLOB)?.source).toBeUndefined();
  expect(scenario.run({ ...mount, source: PROXY }).refused).toBe("unknown");
  const other = digestNamed("remote");
  scenario.run({ type: "blob.remote", repository: PROXY, digest: other, sizeBytes: 1, source: "up" });
  expect(scenario.run({ type: "blob.mount", source: PROXY, target: A, digest: other }).refused).toBe("unknown");
});

test("lease.renew: a link or an untagged manifest that exists; the lease only grows", () => {
  const scenario = cluster(1);
  const renew = { type: "lease.renew", repository: A, digest: BLOB } as const;
  expect(scenario.run(renew).refused).toBe("unknown");
  scenario.commit(A, BLOB, [1]);
  scenario.put(A, IMAGE, EDGES);
  scenario.time = 30;
  expect(scenario.run(renew).refused).toBeUndefined();
  expect(scenario.link(A, BLOB)?.lease).toBe(130);
  expect(scenario.run({ ...renew, digest: IMAGE }).refused).toBeUndefined();
  expect(scenario.manifest(A, IMAGE)?.lease).toBe(130);
  scenario.time = 10;
  scenario.run(renew);
  expect(scenario.link(A, BLOB)?.lease).toBe(130);
});

test("lease.renewLinks: those that are there and visible; one that is gone refuses nothing", () => {
  const scenario = cluster(1);
  const [hidden, gone] = [digestNamed("hidden"), digestNamed("gone")];
  scenario.commit(A, BLOB, [1]);
  scenario.commit(B, BLOB, [1]);
  scenario.commit(A, hidden, [1]);
  scenario.put(A, IMAGE, [{ digest: hidden, kind: "blob" }]);
  scenario.run({ type: "manifest.delete", repository: A, digest: IMAGE });
  scenario.run({ type: "blob.unlink", repository: A, digest: hidden });
  scenario.time = 30;
  expect(scenario.run({ type: "lease.renewLinks", repository: A, digests: [gone, hidden, BLOB] }).refused).toBeUndefined();
  expect(scenario.link(A, BLOB)?.lease).toBe(130);
  expect([scenario.link(B, BLOB)?.lease, scenario.link(A, hidden)?.lease]).toEqual([LEASE, LEASE]);
  expect(scenario.link(A, gone)).toBeUndefined();
});

test("blob.unlink: refused while a live manifest names the blob, hides the link while the trash does, else takes it away", () => {
  const scenario = cluster(1);
  const unlink = { type: "blob.unlink", repository: A, digest: BLOB } as const;
  expect(scenario.run(unlink).refused).toBe("unknown");
  scenario.commit(A, BLOB, [1]);
  scenario.put(A, IMAGE, EDGES);
  expect(scenario.run(unlink).refused).toBe("referenced");
  scenario.run({ type: "manifest.delete", repository: A, digest: IMAGE });
  expect(scenario.run(unlink).refused).toBeUndefined();
  expect(scenario.link(A, BLOB)).toMatchObject({ present: true, hidden: true, trashed: 1 });
  expect(scenario.run(unlink).refused).toBe("unknown");
  expect(scenario.run({ type: "lease.renew", repository: A, digest: BLOB }).refused).toBe("unknown");
  expect(scenario.put(A, IMAGE, EDGES)).toMatchObject({ refused: "missing", digest: BLOB });
  scenario.run({ type: "manifest.undelete", repository: A, digest: IMAGE });
  expect(scenario.link(A, BLOB)).toMatchObject({ hidden: false, references: 1, trashed: 0 });
  const other = digestNamed("unreferenced");
  scenario.commit(A, other, [1]);
  scenario.run({ ...unlink, digest: other });
  expect(scenario.link(A, other)).toBeUndefined();
  expect(scenario.blob(other)).toMatchObject({ state: "live", links: 0 });
});

test("a new commit shows a hidden link again, with the edges that the trash still holds", () => {
  const scenario = cluster(1);
  scenario.commit(A, BLOB, [1]);
  scenario.put(A, IMAGE, EDGES);
  scenario.run({ type: "manifest.delete", repository: A, digest: IMAGE });
  scenario.run({ type: "blob.unlink", repository: A, digest: BLOB });
  scenario.commit(A, BLOB, [1]);
  expect(scenario.link(A, BLOB)).toMatchObject({ hidden: false, trashed: 1 });
  expect(scenario.blob(BLOB)?.links).toBe(1);
});

test("copy.add: a live record, a member, and within its deadline", () => {
  const scenario = cluster();
  const [one = 0, two = 0, three = 0] = ids(scenario);
  const add = { type: "copy.add", digest: BLOB, copy: three, deadline: 5, commitId: "c" } as const;
  expect(scenario.run(add).refused).toBe("unknown");
  scenario.commit(A, BLOB, [one, two]);
  expect(scenario.run({ ...add, copy: 999 }).refused).toBe("unknown");
  scenario.time = 6;
  expect(scenario.run(add).refused).toBe("deadline");
  scenario.time = 5;
  expect(scenario.run(add).refused).toBeUndefined();
  scenario.run(add);
  expect(scenario.blob(BLOB)?.copies).toEqual([one, two, three]);
  const remote = digestNamed("remote");
  scenario.run({ type: "blob.remote", repository: PROXY, digest: remote, sizeBytes: 1, source: "up" });
  expect(scenario.run({ ...add, digest: remote }).refused).toBe("state");
});

test("copy.drop: the others must be `target` many, unless the copy is bad; a draining member lowers the target to need at least", () => {
  const scenario = cluster();
  const [one = 0, two = 0, three = 0] = ids(scenario);
  scenario.commit(A, BLOB, [one, two, three]);
  const drop = { type: "copy.drop", digest: BLOB, copy: three, bad: false } as const;
  expect(scenario.run(drop).refused).toBe("count");
  scenario.run({ type: "member.state", raftId: three, draining: true });
  expect(scenario.run(drop).refused).toBeUndefined();
  expect(scenario.run(drop).refused).toBe("unknown");
  expect(scenario.run({ ...drop, copy: two }).refused).toBe("count");
  expect(scenario.run({ ...drop, copy: two, bad: true }).refused).toBeUndefined();
  expect(scenario.blob(BLOB)?.copies).toEqual([one]);
});

test("copy.drop with keepUp: neither a member that is down nor one that drains counts among the others", () => {
  const scenario = cluster(4);
  const [one = 0, two = 0, three = 0, four = 0] = ids(scenario);
  scenario.commit(A, BLOB, [one, two, three, four]);
  const drop = { type: "copy.drop", digest: BLOB, copy: four, bad: false } as const;
  scenario.run({ type: "member.state", raftId: one, down: true });
  expect(scenario.run({ ...drop, keepUp: true }).refused).toBe("count");
  scenario.run({ type: "member.state", raftId: one, down: false, draining: true });
  expect(scenario.run({ ...drop, keepUp: true }).refused).toBe("count");
  expect(scenario.run({ ...drop, copy: one, keepUp: true }).refused).toBeUndefined();
  expect(scenario.run(drop).refused).toBe("count");
});

test("cache.evict: only where every link has a source", () => {
  const scenario = cluster(1);
  const evict = { type: "cache.evict", digest: BLOB } as const;
  expect(scenario.run(evict).refused).toBe("unknown");
  scenario.commit(PROXY, BLOB, [1], "up");
  scenario.commit(A, BLOB, [1]);
  expect(scenario.run(evict).refused).toBe("state");
  scenario.run({ type: "blob.unlink", repository: A, digest: BLOB });
  expect(scenario.run(evict).refused).toBeUndefined();
  expect(scenario.blob(BLOB)).toMatchObject({ state: "remote", copies: [], links: 1 });
  expect(scenario.run(evict).refused).toBe("state");
});

test("G5: gc.unlink takes a link only without references, after its lease and after its grace", () => {
  const scenario = cluster(1);
  const unlink = { type: "gc.unlink", repository: A, digest: BLOB } as const;
  expect(scenario.run(unlink).refused).toBe("unknown");
  scenario.commit(A, BLOB, [1]);
  scenario.put(A, IMAGE, EDGES);
  scenario.time = 1_000;
  expect(scenario.run(unlink).refused).toBe("busy");
  scenario.run({ type: "manifest.delete", repository: A, digest: IMAGE });
  scenario.time = 1_020;
  expect(scenario.run(unlink).refused).toBe("busy");
  scenario.run({ type: "manifest.purge", repository: A, digest: IMAGE });
  expect(scenario.link(A, BLOB)).toMatchObject({ zeroSince: 1_020, lease: 1_120 });
  scenario.time = 1_120;
  expect(scenario.run(unlink).refused).toBe("busy");
  scenario.time = 1_121;
  expect(scenario.run(unlink).refused).toBeUndefined();
});

test("G5: grace holds an idle link also where it is longer than the lease", () => {
  const scenario = new Scenario({ leaseMs: 1, graceMs: 50 });
  scenario.found(1);
  scenario.commit(A, BLOB, [1]);
  scenario.time = 49;
  expect(scenario.run({ type: "gc.unlink", repository: A, digest: BLOB }).refused).toBe("busy");
  scenario.time = 50;
  expect(scenario.run({ type: "gc.unlink", repository: A, digest: BLOB }).refused).toBeUndefined();
});

test("G5: gc.condemn is refused while any link stands, a hidden one too", () => {
  const scenario = cluster(1);
  const condemn = { type: "gc.condemn", digest: BLOB } as const;
  expect(scenario.run(condemn).refused).toBe("unknown");
  scenario.commit(A, BLOB, [1]);
  scenario.put(A, IMAGE, EDGES);
  scenario.run({ type: "manifest.delete", repository: A, digest: IMAGE });
  scenario.run({ type: "blob.unlink", repository: A, digest: BLOB });
  expect(scenario.run(condemn).refused).toBe("busy");
});

test("G5: gc.deleted and gc.reclaim of an earlier condemning are stale, and reclaiming waits for every member that is not down", () => {
  const scenario = cluster();
  const [one = 0, two = 0, three = 0] = ids(scenario);
  scenario.commit(A, BLOB, [one, two]);
  scenario.run({ type: "blob.unlink", repository: A, digest: BLOB });
  const first = scenario.run({ type: "gc.condemn", digest: BLOB }).index;
  expect(scenario.run({ type: "gc.condemn", digest: BLOB }).refused).toBe("state");
  scenario.commit(A, BLOB, [one, two]);
  scenario.run({ type: "blob.unlink", repository: A, digest: BLOB });
  const second = scenario.run({ type: "gc.condemn", digest: BLOB }).index;
  const deleted = (copy: number, condemnedAt: number) => scenario.run({ type: "gc.deleted", digest: BLOB, copy, condemnedAt }).refused;
  const reclaim = (condemnedAt: number) => scenario.run({ type: "gc.reclaim", digest: BLOB, condemnedAt }).refused;
  expect(deleted(one, first)).toBe("stale");
  expect(deleted(one, second)).toBeUndefined();
  expect(deleted(two, second)).toBeUndefined();
  expect(reclaim(first)).toBe("stale");
  expect(reclaim(second)).toBe("busy");
  scenario.run({ type: "member.state", raftId: three, down: true });
  expect(reclaim(second)).toBeUndefined();
  expect(scenario.blob(BLOB)).toBeUndefined();
});
