import { expect, test } from "vitest";
import type { RepositoryName, Tag } from "../core/reference.ts";
import type { ProjectRules } from "./records.ts";
import { digestNamed, rootNamed, Scenario } from "./scenario.ts";
import { createCatalog } from "./store-catalog.ts";

/** Of a blob of the scenario. */
const SIZE = 10;
const APP = "team/app" as RepositoryName;
const WEB = "team/web" as RepositoryName;
const ELSEWHERE = "other/app" as RepositoryName;
const [ONE, TWO, THREE] = [digestNamed("one"), digestNamed("two"), digestNamed("three")];

function setUp(rules: Partial<ProjectRules>) {
  const scenario = new Scenario({ leaseMs: 100, graceMs: 0, trashKeepMs: 0 });
  const ids = scenario.found(1);
  const set = (changed: Partial<ProjectRules>) =>
    scenario.run({ type: "project.set", project: "team", rules: { immutableTags: [], protectedRepositories: [], quota: {}, ...changed } });
  set(rules);
  const usage = () => createCatalog(scenario.store).project("team").usage;
  const put = (repository: RepositoryName, name: string, tags: string[] = []) =>
    scenario.run({
      type: "manifest.put",
      repository,
      digest: digestNamed(name),
      mediaType: "m",
      bytes: Buffer.from(name),
      tags: tags as Tag[],
      references: [],
    }).refused;
  return { scenario, ids, set, usage, put };
}

test("a blob counts once in a project, and no more when its last link there is gone", () => {
  const { scenario, ids, usage } = setUp({});
  scenario.commit(APP, ONE, ids);
  scenario.commit(WEB, ONE, ids);
  scenario.commit(ELSEWHERE, ONE, ids);
  expect(usage()).toEqual({ sizeBytes: SIZE, blobs: 1, repositories: 0 });
  scenario.run({ type: "blob.unlink", repository: APP, digest: ONE });
  expect(usage().blobs).toBe(1);
  scenario.run({ type: "blob.unlink", repository: WEB, digest: ONE });
  expect(usage()).toEqual({ sizeBytes: 0, blobs: 0, repositories: 0 });
});

test("of two pushes that would fit alone and not together the second is refused, as is a mount; what the project has already is not", () => {
  const { scenario, ids, set } = setUp({});
  set({ quota: { bytes: 2 * SIZE } });
  scenario.commit(APP, ONE, ids);
  scenario.commit(WEB, TWO, ids);
  const commit = {
    type: "blob.commit",
    sizeBytes: SIZE,
    root: rootNamed("blob"),
    copies: ids,
    deadline: scenario.time,
    commitId: "c",
  } as const;
  expect(scenario.run({ ...commit, repository: APP, digest: THREE }).refused).toBe("quota");
  scenario.commit(ELSEWHERE, THREE, ids);
  expect(scenario.run({ type: "blob.mount", source: ELSEWHERE, target: APP, digest: THREE }).refused).toBe("quota");
  expect(scenario.run({ type: "blob.mount", source: WEB, target: APP, digest: TWO }).refused).toBeUndefined();
  expect(scenario.run({ ...commit, repository: WEB, digest: ONE }).refused).toBeUndefined();
});

test("a repository counts while it holds a manifest; beyond the quota no new one begins", () => {
  const { scenario, usage, put } = setUp({ quota: { repositories: 1 } });
  expect([put(APP, "a"), put(APP, "b"), put(WEB, "c"), put(ELSEWHERE, "d")]).toEqual([undefined, undefined, "quota", undefined]);
  for (const name of ["a", "b"]) scenario.run({ type: "manifest.delete", repository: APP, digest: digestNamed(name) });
  expect([usage().repositories, put(WEB, "c"), usage().repositories]).toEqual([0, undefined, 1]);
});

test("an immutable tag is set once: it neither moves nor goes, nor does its manifest; the same manifest may be put again", () => {
  const { scenario, put } = setUp({ immutableTags: ["v*"] });
  expect([put(APP, "a", ["v1", "latest"]), put(APP, "a", ["v1"]), put(APP, "b", ["v1"]), put(APP, "b", ["latest"])]).toEqual([
    undefined,
    undefined,
    "immutable",
    undefined,
  ]);
  const refused = (tag: string) => scenario.run({ type: "tag.delete", repository: APP, tag: tag as Tag }).refused;
  expect([refused("v1"), refused("latest")]).toEqual(["immutable", undefined]);
  expect(scenario.run({ type: "manifest.delete", repository: APP, digest: digestNamed("a") }).refused).toBe("immutable");
  expect(scenario.run({ type: "manifest.delete", repository: APP, digest: digestNamed("b") }).refused).toBeUndefined();
});

test("in a protected repository nothing is deleted", () => {
  const { scenario, ids, put } = setUp({ protectedRepositories: ["team/a*"] });
  put(APP, "a", ["v1"]);
  scenario.commit(APP, ONE, ids);
  const refused = [
    scenario.run({ type: "manifest.delete", repository: APP, digest: digestNamed("a") }).refused,
    scenario.run({ type: "tag.delete", repository: APP, tag: "v1" as Tag }).refused,
    scenario.run({ type: "blob.unlink", repository: APP, digest: ONE }).refused,
  ];
  expect(refused).toEqual(["protected", "protected", "protected"]);
  put(WEB, "a", ["v1"]);
  expect(scenario.run({ type: "tag.delete", repository: WEB, tag: "v1" as Tag }).refused).toBeUndefined();
});

test("the trash lists what can be taken back, with the tags that it had", async () => {
  const { scenario, put } = setUp({});
  put(APP, "a", ["v1", "v2"]);
  put(APP, "b", ["v3"]);
  scenario.run({ type: "manifest.delete", repository: APP, digest: digestNamed("a") });
  const trash = () => createCatalog(scenario.store).trash(APP, "", 10);
  expect(await trash()).toMatchObject([{ digest: digestNamed("a"), tags: ["v1", "v2"], sizeBytes: 1 }]);
  scenario.run({ type: "manifest.undelete", repository: APP, digest: digestNamed("a") });
  expect(await trash()).toEqual([]);
  expect(await createCatalog(scenario.store).projects("", 10)).toMatchObject([{ project: "team" }]);
});
