import { expect, test } from "vitest";
import { disagreements } from "./derived-rows.ts";
import { factsOf, Scenario, SECRET_HASH } from "./scenario.ts";
import { createCatalog } from "./store-catalog.ts";

const INIT = { type: "cluster.init", clusterId: "c", publicKey: new Uint8Array([1]), member: factsOf(0) } as const;
const WRONG = new Uint8Array(32);

function cluster(): Scenario {
  const scenario = new Scenario();
  scenario.run(INIT);
  return scenario;
}

const create = (scenario: Scenario, id: string, uses = 1, ttlMs = 10) =>
  scenario.run({ type: "token.create", id, hash: SECRET_HASH, uses, ttlMs });
const add = (scenario: Scenario, node: number, id = "t", hash = SECRET_HASH, versionMax = 1) =>
  scenario.run({ type: "member.add", member: factsOf(node, { versionMax }), token: { id, hash } });

test("member.add: the token must be there, unexpired, of the same hash, and have uses left; who proves it is told which", () => {
  const scenario = cluster();
  expect(add(scenario, 1).refused).toBe("tokenWrong");
  create(scenario, "t", 2);
  expect(add(scenario, 1, "t", WRONG).refused).toBe("tokenWrong");
  scenario.time = 11;
  expect(add(scenario, 1).refused).toBe("tokenExpired");
  scenario.time = 10;
  expect(add(scenario, 1).value).toBe(scenario.index);
  expect(add(scenario, 2).value).toBe(scenario.index);
  expect(add(scenario, 3).refused).toBe("tokenUsedUp");
  create(scenario, "u");
  expect(scenario.run({ type: "token.revoke", id: "u" }).refused).toBeUndefined();
  expect(add(scenario, 3, "u").refused).toBe("tokenRevoked");
  expect(scenario.run({ type: "token.revoke", id: "v" }).refused).toBe("unknown");
});

test("one without the secret is told the same of every token, and nothing of the cluster", () => {
  const scenario = cluster();
  for (const id of ["good", "used", "revoked", "old"]) create(scenario, id, 1, id === "old" ? 0 : 10);
  add(scenario, 1, "used");
  scenario.run({ type: "token.revoke", id: "revoked" });
  scenario.time = 1;
  scenario.run({ type: "member.update", raftId: 1, member: factsOf(0, { versionMax: 2 }) });
  scenario.run({ type: "member.state", raftId: 6, down: true });
  expect(scenario.run({ type: "cluster.raise", version: 2 }).refused).toBeUndefined();
  const answers = ["good", "used", "revoked", "old", "none"].map((id) => add(scenario, 9, id, WRONG).refused);
  expect(answers).toEqual(Array(5).fill("tokenWrong"));
  expect(add(scenario, 9, "good").refused).toBe("version");
  expect(add(scenario, 9, "good", SECRET_HASH, 2).refused).toBeUndefined();
});

test("an id is not given twice, also when its token is good no more", () => {
  const scenario = cluster();
  create(scenario, "t");
  expect(create(scenario, "t").refused).toBe("state");
  scenario.run({ type: "token.revoke", id: "t" });
  expect(create(scenario, "t").refused).toBe("state");
});

test("a retried member.add is answered again, whatever has become of the token", () => {
  const scenario = cluster();
  create(scenario, "t");
  const { value } = add(scenario, 1);
  expect(add(scenario, 1)).toMatchObject({ value });
  scenario.run({ type: "token.revoke", id: "t" });
  expect(add(scenario, 1, "t", WRONG)).toMatchObject({ value });
});

test("an old token that is good no more makes room for new ones, within a round of the queue; a good one never does", () => {
  const scenario = cluster();
  const catalog = createCatalog(scenario.store);
  const kept = (id: string): boolean => catalog.joinToken(id) !== undefined;
  create(scenario, "good");
  create(scenario, "spent");
  add(scenario, 1, "spent");
  for (let n = 0; n < 254; n += 1) create(scenario, `t${n}`);
  expect(kept("spent")).toBe(true);
  create(scenario, "one more");
  expect([kept("good"), kept("spent"), kept("t0")]).toEqual([true, false, true]);
  create(scenario, "and another");
  expect([kept("good"), kept("t0"), kept("and another")]).toEqual([true, true, true]);
  scenario.run({ type: "token.revoke", id: "t9" });
  for (let n = 0; n < 4; n += 1) create(scenario, `later${n}`);
  expect([kept("t8"), kept("t9"), kept("later0")]).toEqual([true, false, true]);
  expect(disagreements(scenario.store)).toEqual([]);
});

test("a new token costs the same however many there are, and the table shrinks again when they are over", () => {
  const scenario = cluster();
  for (let n = 0; n < 600; n += 1) create(scenario, `t${n}`);
  const records = (): number => scenario.store.entries().filter(([key]) => key.startsWith("token/")).length;
  const sizeOf = (key: string): number => scenario.store.get(key)?.byteLength ?? 0;
  expect([records(), sizeOf("tokens") < 40]).toEqual([600, true]);
  scenario.time = 11;
  for (let n = 0; n < 400; n += 1) create(scenario, `u${n}`);
  expect(records()).toBeLessThan(410);
  for (let n = 0; n < 400; n += 1) expect(scenario.store.get(`token/u${n}`)).toBeDefined();
  expect(disagreements(scenario.store)).toEqual([]);
});
