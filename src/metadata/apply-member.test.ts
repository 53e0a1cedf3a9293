import { expect, test } from "vitest";
import type { RepositoryName } from "../core/reference.ts";
import { apply } from "./apply.ts";
import { MemoryStore } from "./memory-store.ts";
import { DEFAULT_POLICY } from "./policy.ts";
import { digestNamed, factsOf, Scenario, SECRET_HASH } from "./scenario.ts";
import { createCatalog } from "./store-catalog.ts";

const A = "a" as RepositoryName;
const BLOB = digestNamed("blob");
const INIT = { type: "cluster.init", clusterId: "c", publicKey: new Uint8Array([1]), member: factsOf(0) } as const;
const add = (node: number, more: object = {}) =>
  ({ type: "member.add", member: factsOf(node, more), token: { id: "t", hash: SECRET_HASH } }) as const;

test("cluster.init makes member 1 once; retried it is answered again, another cluster's is refused", () => {
  const scenario = new Scenario();
  expect(scenario.run(INIT)).toMatchObject({ value: 1 });
  expect(scenario.run({ ...INIT, member: factsOf(5) })).toMatchObject({ value: 1 });
  expect(scenario.run({ ...INIT, clusterId: "other" }).refused).toBe("state");
  const catalog = createCatalog(scenario.store);
  expect(catalog.members().map(({ name }) => name)).toEqual(["node-0"]);
  expect(catalog.cluster()).toMatchObject({ clusterId: "c", version: 1 });
});

test("cluster.init carries durability; fewer copies than acks is refused", () => {
  const scenario = new Scenario();
  expect(scenario.run({ ...INIT, durability: { copies: 2, acks: 3 } }).refused).toBe("mismatch");
  expect(scenario.run({ ...INIT, durability: { copies: 2, acks: 1 } }).refused).toBeUndefined();
  scenario.run({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 9, ttlMs: 1 });
  for (const node of [1, 2]) scenario.join(node);
  const catalog = createCatalog(scenario.store);
  expect([catalog.need(), catalog.target(), catalog.durability()]).toEqual([1, 2, { copies: 2, acks: 1 }]);
});

test("a removed identity never comes back, and its raft id counts for nothing", () => {
  const scenario = new Scenario();
  const [, second = 0] = scenario.found(3);
  expect(scenario.run({ type: "member.remove", raftId: second }).refused).toBeUndefined();
  expect(scenario.run({ type: "member.remove", raftId: second }).refused).toBe("unknown");
  expect(scenario.run(add(1)).refused).toBe("state");
  expect(scenario.run({ type: "member.update", raftId: second, member: factsOf(1) }).refused).toBe("unknown");
  expect(scenario.run({ type: "member.state", raftId: second, down: true }).refused).toBe("unknown");
});

test("member.remove strikes the copies of every record in one entry, however many there are", () => {
  const scenario = new Scenario();
  const ids = scenario.found(3);
  const blobs = Array.from({ length: 50 }, (_, at) => digestNamed(`blob ${at}`));
  for (const digest of blobs) scenario.commit(A, digest, ids);
  const context = { index: scenario.index + 1, time: 0, schema: 1, policy: DEFAULT_POLICY };
  const { changes } = apply(scenario.store, context, { type: "member.remove", raftId: ids[2] ?? 0 });
  expect(changes.length).toBeLessThan(4);
  scenario.store.write(changes);
  const catalog = createCatalog(scenario.store);
  for (const digest of blobs) {
    const record = catalog.blob(digest);
    expect(record === undefined ? [] : catalog.holders(record).map(({ raftId }) => raftId)).toEqual(ids.slice(0, 2));
  }
});

test("member.remove is refused where it holds a record's only copy, unless that is said to be known, and for the last member", () => {
  const scenario = new Scenario();
  scenario.found(1);
  expect(scenario.run({ type: "member.remove", raftId: 1 }).refused).toBe("state");
  scenario.commit(A, BLOB, [1]);
  const second = scenario.join(1);
  expect(scenario.run({ type: "member.remove", raftId: 1 }).refused).toBe("count");
  scenario.run({ type: "copy.add", digest: BLOB, copy: second, deadline: 0, commitId: "c" });
  expect(scenario.run({ type: "member.remove", raftId: 1 }).refused).toBeUndefined();
  scenario.join(2);
  expect(scenario.run({ type: "member.remove", raftId: second }).refused).toBeUndefined();
});

test("member.remove with `lost` takes a member that holds an only copy", () => {
  const scenario = new Scenario();
  scenario.found(1);
  scenario.commit(A, BLOB, [1]);
  scenario.join(1);
  expect(scenario.run({ type: "member.remove", raftId: 1, lost: true }).refused).toBeUndefined();
});

test("member.update keeps the peer id and the state, and cannot fall below cluster.version", () => {
  const scenario = new Scenario();
  scenario.found(2);
  scenario.run({ type: "member.state", raftId: 1, draining: true });
  const update = (more: object) => scenario.run({ type: "member.update", raftId: 1, member: factsOf(0, more) }).refused;
  expect(scenario.run({ type: "member.update", raftId: 1, member: factsOf(9) }).refused).toBe("mismatch");
  expect(update({ zone: "z", versionMax: 2 })).toBeUndefined();
  expect(createCatalog(scenario.store).member(1)).toMatchObject({ zone: "z", draining: true, down: false });
  scenario.run({ type: "member.state", raftId: 3, down: true });
  expect(scenario.run({ type: "cluster.raise", version: 2 }).refused).toBeUndefined();
  expect(update({ versionMax: 1 })).toBe("version");
});

test("member.update does not take another member's name; an address it may, since the other may have moved", () => {
  const scenario = new Scenario();
  scenario.found(2);
  const update = (more: object) => scenario.run({ type: "member.update", raftId: 1, member: factsOf(0, more) }).refused;
  expect(update({ name: factsOf(1).name })).toBe("nameTaken");
  expect(update({ name: "another", addresses: factsOf(1).addresses })).toBeUndefined();
});

test("a member that is down is so since the first time that it was said, until it is up", () => {
  const scenario = new Scenario();
  scenario.found(2);
  const since = (down: boolean, time: number): number | undefined => {
    scenario.time = time;
    scenario.run({ type: "member.state", raftId: 1, down });
    return createCatalog(scenario.store).member(1)?.downSince;
  };
  expect([since(true, 10), since(true, 20), since(false, 30), since(true, 40)]).toEqual([10, 10, undefined, 40]);
  scenario.run({ type: "member.state", raftId: 1, draining: true });
  expect(createCatalog(scenario.store).member(1)).toMatchObject({ down: true, downSince: 40, draining: true });
});

test("the audit trail keeps the latest ten thousand records, numbered without a gap", () => {
  const scenario = new Scenario();
  scenario.found(1);
  const note = (from: number, count: number) => {
    const notes = Array.from({ length: count }, (_, at) => ({ atMs: 1, action: "a", target: `t${from + at}`, detail: "d" }));
    return scenario.run({ type: "audit.note", raftId: 1, notes });
  };
  for (let from = 0; from < 10_048; from += 64) note(from, 64);
  const catalog = createCatalog(scenario.store);
  expect(catalog.auditTrail(2)).toEqual(
    [10_047, 10_046].map((number) => ({ number, raftId: 1, atMs: 1, action: "a", target: `t${number}`, detail: "d" })),
  );
  expect(catalog.auditTrail(20_000).at(-1)?.number).toBe(48);
});

test("cluster.raise waits for every member that is not down, never falls, and newcomers must follow", () => {
  const scenario = new Scenario();
  scenario.found(2);
  const raise = (version: number) => scenario.run({ type: "cluster.raise", version }).refused;
  expect(raise(2)).toBe("version");
  scenario.run({ type: "member.update", raftId: 1, member: factsOf(0, { versionMax: 2 }) });
  expect(raise(2)).toBe("version");
  scenario.run({ type: "member.update", raftId: 3, member: factsOf(1, { versionMax: 3 }) });
  expect(raise(2)).toBeUndefined();
  expect(raise(2)).toBeUndefined();
  expect(raise(1)).toBe("version");
  expect(scenario.run(add(5)).refused).toBe("version");
});

test("before there is a cluster nothing is a member and every read is empty", () => {
  const catalog = createCatalog(new MemoryStore());
  expect([catalog.cluster(), catalog.members(), catalog.need(), catalog.time(), catalog.head()]).toEqual([undefined, [], 0, 0, undefined]);
});

const replace = (old: number, node: number, more: object = {}) =>
  ({ type: "member.replace", old, member: factsOf(node), token: { id: "t", hash: SECRET_HASH }, proven: false, ...more }) as const;

test("member.replace strikes the old one's copies and seats the new one in one entry, under the old one's name; retried it is answered again", () => {
  const scenario = new Scenario();
  const [first = 0, second = 0, third = 0] = scenario.found(3);
  scenario.commit(A, BLOB, [second, third]);
  const catalog = createCatalog(scenario.store);
  const usesBefore = catalog.joinToken("t")!.usesLeft;
  const { name } = catalog.member(second)!;
  expect(scenario.run(replace(second, 7)).refused).toBe("memberUp");
  expect(scenario.run(replace(77, 7)).refused).toBe("unknown");
  scenario.run({ type: "member.state", raftId: second, down: true });
  const wish = { ...replace(second, 7), member: { ...factsOf(7), name } };
  const { value } = scenario.run(wish);
  expect(scenario.run(wish)).toMatchObject({ value });
  const after = createCatalog(scenario.store);
  expect(after.members().map(({ raftId }) => raftId)).toEqual([first, third, value]);
  expect(after.member(value ?? 0)).toMatchObject({ name, down: false, peerId: factsOf(7).peerId });
  expect(after.holders(after.blob(BLOB)!).map(({ raftId }) => raftId)).toEqual([third]);
  expect([after.wasRemoved(factsOf(1).peerId), after.joinToken("t")!.usesLeft]).toEqual([true, usesBefore - 1]);
  expect(scenario.run(add(1)).refused).toBe("state"); // never under the old identity
});

test("member.replace of one that is up takes proof, of one that holds the only copy of something takes lost, and a bad token refuses both", () => {
  const scenario = new Scenario();
  const [, second = 0, third = 0] = scenario.found(3);
  scenario.run({ type: "member.state", raftId: second, down: true });
  scenario.commit(A, BLOB, [second, third]);
  scenario.run({ type: "copy.drop", digest: BLOB, copy: third, bad: true });
  expect(scenario.run(replace(second, 7)).refused).toBe("count");
  expect(scenario.run(replace(second, 7, { lost: true, token: { id: "t", hash: new Uint8Array(32) } })).refused).toBe("tokenWrong");
  expect(scenario.run(replace(second, 7, { lost: true })).refused).toBeUndefined();
  expect(scenario.run(replace(third, 8, { proven: true })).refused).toBeUndefined();
});
