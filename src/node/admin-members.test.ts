import { expect, test } from "vitest";
import type { RepositoryName } from "../core/reference.ts";
import { digestNamed, Scenario } from "../metadata/scenario.ts";
import { createCatalog } from "../metadata/store-catalog.ts";
import { holdsAlone } from "./admin-members.ts";

const APP = "team/app" as RepositoryName;

test("G1: a member that holds alone what lay on a removed one too is told, though the catalog's count of it is not", async () => {
  const scenario = new Scenario();
  const [first = 0, second = 0, third = 0] = scenario.found(3);
  scenario.commit(APP, digestNamed("one"), [first, second]);
  for (let at = 0; at < 300; at += 1) scenario.commit(APP, digestNamed(`other ${at}`), [first, third]);
  const alone = (member: number) => holdsAlone(createCatalog(scenario.store), member);
  expect(await Promise.all([first, second, third].map(alone))).toEqual([false, false, false]);
  scenario.run({ type: "member.remove", raftId: first });
  expect(await Promise.all([second, third].map(alone))).toEqual([true, true]);
  scenario.run({ type: "copy.add", digest: digestNamed("one"), copy: third, deadline: 0, commitId: "c" });
  expect(await Promise.all([second, third].map(alone))).toEqual([false, true]);
});
