import { expect, test } from "vitest";
import type { RepositoryName } from "../core/reference.ts";
import type { ClusterCommand } from "./commands.ts";
import { digestNamed, Scenario, SECRET_HASH } from "./scenario.ts";
import { createCatalog } from "./store-catalog.ts";

const A = "a" as RepositoryName;

function recovery(scenario: Scenario, more: object = {}): Extract<ClusterCommand, { type: "cluster.recover" }> {
  const clusterId = createCatalog(scenario.store).cluster()?.clusterId ?? "";
  return {
    type: "cluster.recover",
    from: clusterId,
    clusterId: "next",
    publicKey: new Uint8Array([9]),
    lastTerm: 4,
    lastIndex: scenario.index,
    lost: [],
    signature: new Uint8Array([7]),
    ...more,
  };
}

test("cluster.recover strikes the lost members and their copies in one entry; a record of which nothing is left is lost until it is pushed again", async () => {
  const scenario = new Scenario();
  const [first = 0, second = 0, third = 0] = scenario.found(3);
  const [shared, sole] = [digestNamed("shared"), digestNamed("sole")];
  scenario.commit(A, shared, [first, second]);
  scenario.commit(A, sole, [second, third]);
  scenario.run({ type: "token.create", id: "open", hash: SECRET_HASH, uses: 9, ttlMs: 1e9 });
  const catalog = () => createCatalog(scenario.store);
  expect([await catalog().countHeldOnlyBy([second, third]), await catalog().countHeldOnlyBy([third])]).toEqual([1, 0]);
  const { clusterId } = catalog().cluster()!;
  const at = scenario.index;
  expect(scenario.run(recovery(scenario, { lost: [second, third, 77] })).refused).toBeUndefined();
  expect(catalog().cluster()).toMatchObject({
    clusterId: "next",
    former: [{ clusterId, successor: "next", lastTerm: 4, lastIndex: at }],
  });
  expect(
    catalog()
      .members()
      .map(({ raftId }) => raftId),
  ).toEqual([first]);
  expect(
    catalog()
      .holders(catalog().blob(shared)!)
      .map(({ raftId }) => raftId),
  ).toEqual([first]);
  expect(catalog().joinToken("open")).toMatchObject({ revoked: true });
  expect(await catalog().lostRecords("", 10)).toEqual([sole]);
  scenario.commit(A, sole, [first]);
  expect(await catalog().lostRecords("", 10)).toEqual([]);
  // once more, from there
  expect(scenario.run(recovery(scenario, { clusterId: "third" })).refused).toBeUndefined();
  expect(
    catalog()
      .cluster()
      ?.former?.map((former) => former.successor),
  ).toEqual(["next", "third"]);
});

test.each([
  ["of another cluster", { from: "other" }, "state"],
  ["into itself", { clusterId: "same" }, "state"],
  ["anywhere but after the entry that it names", { lastIndex: 1 }, "mismatch"],
  ["that leaves nobody", { lost: "all" }, "count"],
])("cluster.recover %s is refused, and changes nothing", (_, { lost, clusterId, ...more }: Record<string, unknown>, refused) => {
  const scenario = new Scenario();
  const ids = scenario.found(2);
  const before = [...scenario.store.entries()];
  const own = createCatalog(scenario.store).cluster()?.clusterId;
  const wish = {
    ...more,
    ...(lost === undefined ? {} : { lost: lost === "all" ? ids : lost }),
    ...(clusterId === undefined ? {} : { clusterId: own }),
  };
  expect(scenario.run(recovery(scenario, wish)).refused).toBe(refused);
  expect([...scenario.store.entries()].filter(([key]) => !key.startsWith("chain"))).toEqual(
    before.filter(([key]) => !key.startsWith("chain")),
  );
});
