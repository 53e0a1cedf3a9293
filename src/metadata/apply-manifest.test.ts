import { expect, test } from "vitest";
import type { RepositoryName, Tag } from "../core/reference.ts";
import { disagreements } from "./derived-rows.ts";
import { digestNamed, Scenario } from "./scenario.ts";
import { createCatalog } from "./store-catalog.ts";

const A = "team/a" as RepositoryName;
const BLOB = digestNamed("blob");
const [IMAGE, OTHER, INDEX] = [digestNamed("image"), digestNamed("other"), digestNamed("index")];
const [V1, V2, LATEST] = ["v1", "v2", "latest"] as [Tag, Tag, Tag];
const EDGES = [{ digest: BLOB, kind: "blob" }] as const;

function repository(members = 1): Scenario {
  const scenario = new Scenario({ leaseMs: 100, graceMs: 10, trashKeepMs: 20 });
  const ids = scenario.found(members);
  scenario.commit(A, BLOB, ids);
  return scenario;
}

const catalogOf = (scenario: Scenario) => createCatalog(scenario.store);
const remove = (scenario: Scenario, digest = IMAGE) => scenario.run({ type: "manifest.delete", repository: A, digest });
const purge = (scenario: Scenario, digest = IMAGE) => scenario.run({ type: "manifest.purge", repository: A, digest });

test("manifest.put: a blob that the repository does not link is missing, whoever else has it", () => {
  const scenario = repository();
  expect(scenario.put("team/b" as RepositoryName, IMAGE, EDGES)).toMatchObject({ refused: "missing", digest: BLOB });
  const absent = digestNamed("absent");
  expect(scenario.put(A, IMAGE, [...EDGES, { digest: absent, kind: "blob" }])).toMatchObject({ refused: "missing", digest: absent });
  expect(scenario.link(A, BLOB)?.references).toBe(0);
  expect(catalogOf(scenario).repository(A)).toBeUndefined();
});

test("G1: manifest.put with a record short of need is refused `need` with its digest, and a missing blob comes first", () => {
  const scenario = repository();
  scenario.join(1);
  expect(scenario.put(A, IMAGE, EDGES)).toMatchObject({ refused: "need", digest: BLOB });
  const absent = digestNamed("absent");
  expect(scenario.put(A, IMAGE, [...EDGES, { digest: absent, kind: "blob" }])).toMatchObject({ refused: "missing", digest: absent });
  scenario.run({ type: "copy.add", digest: BLOB, copy: scenario.index - 2, deadline: 0, commitId: "c" });
  expect(scenario.put(A, IMAGE, EDGES).refused).toBeUndefined();
});

test("G1: a removed member's copy no longer meets need", () => {
  const scenario = repository(3);
  scenario.run({ type: "member.remove", raftId: 3 });
  scenario.run({ type: "member.remove", raftId: 4 });
  expect(scenario.put(A, IMAGE, EDGES).refused).toBeUndefined();
  scenario.join(7);
  expect(scenario.put(A, OTHER, EDGES).refused).toBe("need");
});

test("foreign layers need not be present, and a link made later starts with their edges", () => {
  const scenario = repository();
  const foreign = digestNamed("foreign");
  expect(scenario.put(A, IMAGE, [{ digest: foreign, kind: "foreign" }]).refused).toBeUndefined();
  expect(catalogOf(scenario).link(A, foreign)).toBeUndefined();
  scenario.time = 5;
  scenario.commit(A, foreign, [1]);
  expect(scenario.link(A, foreign)).toMatchObject({ present: true, references: 1, zeroSince: 5 });
});

test("a new link starts with the edges of the trash too", () => {
  const scenario = repository();
  const foreign = digestNamed("foreign");
  scenario.put(A, IMAGE, [{ digest: foreign, kind: "foreign" }]);
  remove(scenario);
  scenario.commit(A, foreign, [1]);
  expect(scenario.link(A, foreign)).toMatchObject({ references: 0, trashed: 1 });
});

test("references grow by one for each distinct digest, and a re-put adds none", () => {
  const scenario = repository();
  expect(scenario.put(A, IMAGE, [...EDGES, ...EDGES, { digest: BLOB, kind: "foreign" }]).value).toBe(1);
  expect(scenario.link(A, BLOB)?.references).toBe(1);
  expect(scenario.put(A, IMAGE, EDGES, { tags: [V1] }).value).toBe(0);
  expect(scenario.link(A, BLOB)?.references).toBe(1);
  scenario.put(A, OTHER, EDGES);
  expect(scenario.link(A, BLOB)?.references).toBe(2);
});

test("a re-put takes a manifest out of the trash, and its edges with it", () => {
  const scenario = repository();
  scenario.put(A, IMAGE, EDGES);
  remove(scenario);
  expect(scenario.link(A, BLOB)).toMatchObject({ references: 0, trashed: 1 });
  expect(scenario.put(A, IMAGE, EDGES).value).toBe(1);
  expect(scenario.link(A, BLOB)).toMatchObject({ references: 1, trashed: 0 });
  scenario.time = 1_000;
  expect(purge(scenario).refused).toBe("state");
});

test("a re-put whose references were read otherwise counts what changed", () => {
  const scenario = repository();
  const second = digestNamed("second");
  scenario.commit(A, second, [1]);
  scenario.put(A, IMAGE, [...EDGES, { digest: second, kind: "blob" }]);
  scenario.put(A, IMAGE, EDGES);
  expect(scenario.link(A, second)?.references).toBe(0);
  expect(disagreements(scenario.store)).toEqual([]);
});

test("an index needs its children in the repository and out of the trash, unless it may be sparse", () => {
  const scenario = repository();
  const children = [{ digest: IMAGE, kind: "manifest" }] as const;
  expect(scenario.put(A, INDEX, children)).toMatchObject({ refused: "missing", digest: IMAGE });
  expect(scenario.put(A, INDEX, children, { sparse: true }).refused).toBeUndefined();
  scenario.put(A, IMAGE, EDGES);
  expect(scenario.put(A, OTHER, children).refused).toBeUndefined();
  remove(scenario);
  expect(scenario.put(A, digestNamed("third"), children).refused).toBe("missing");
});

test("If-Match and If-None-Match decide in apply, on each tag", () => {
  const scenario = repository();
  const at = (digest: typeof IMAGE, more: object) => scenario.put(A, digest, EDGES, { tags: [V1], ...more }).refused;
  expect(at(IMAGE, { ifMatch: ["*"] })).toBe("precondition");
  expect(at(IMAGE, { ifNoneMatch: ["*"] })).toBeUndefined();
  expect(at(OTHER, { ifNoneMatch: ["*"] })).toBe("precondition");
  expect(at(OTHER, { ifNoneMatch: [IMAGE] })).toBe("precondition");
  expect(at(OTHER, { ifMatch: [OTHER] })).toBe("precondition");
  expect(at(OTHER, { ifMatch: [INDEX, IMAGE], ifNoneMatch: [OTHER] })).toBeUndefined();
  expect(scenario.put(A, IMAGE, EDGES, { tags: [V1, V2], ifMatch: ["*"] }).refused).toBe("precondition");
});

test("If-None-Match of a put by digest looks at the manifest itself", () => {
  const scenario = repository();
  expect(scenario.put(A, IMAGE, EDGES, { ifNoneMatch: ["*"] }).refused).toBeUndefined();
  expect(scenario.put(A, IMAGE, EDGES, { ifNoneMatch: ["*"] }).refused).toBe("precondition");
  remove(scenario);
  expect(scenario.put(A, IMAGE, EDGES, { ifNoneMatch: ["*"] }).refused).toBeUndefined();
});

test("a tag that moves leaves the manifest that it named untagged, with a lease from then", () => {
  const scenario = repository();
  scenario.put(A, IMAGE, EDGES, { tags: [LATEST] });
  scenario.time = 60;
  scenario.put(A, OTHER, EDGES, { tags: [LATEST, V2] });
  expect(scenario.manifest(A, IMAGE)).toMatchObject({ tags: [], lease: 160 });
  expect(scenario.manifest(A, OTHER)).toMatchObject({ tags: [LATEST, V2] });
  expect(catalogOf(scenario).tag(A, LATEST)?.digest).toBe(OTHER);
  expect(catalogOf(scenario).repository(A)).toEqual({ name: A, manifests: 2, tags: 2 });
});

test("manifest.delete takes the tags that name it, and it is invisible at once; tag.delete takes the tag alone", async () => {
  const scenario = repository();
  scenario.put(A, IMAGE, EDGES, { tags: [V1, V2], subject: OTHER });
  expect(scenario.run({ type: "tag.delete", repository: A, tag: V2 }).refused).toBeUndefined();
  expect(scenario.run({ type: "tag.delete", repository: A, tag: V2 }).refused).toBe("unknown");
  const catalog = catalogOf(scenario);
  expect(catalog.manifest(A, IMAGE)?.tags).toEqual([V1]);
  expect(remove(scenario).refused).toBeUndefined();
  const after = catalogOf(scenario);
  expect(after.manifest(A, IMAGE)).toBeUndefined();
  expect(after.tag(A, V1)).toBeUndefined();
  expect(await after.tags(A, "", 9)).toEqual([]);
  expect(await after.referrers(A, OTHER, "", 9)).toEqual([]);
  expect(await after.repositories("", 9)).toEqual([]);
  expect(after.repository(A)).toEqual({ name: A, manifests: 0, tags: 0 });
  expect(remove(scenario).refused).toBe("unknown");
});

test("manifest.undelete brings back the tags and the referrer, and is refused where a tag has moved", async () => {
  const scenario = repository();
  const undelete = { type: "manifest.undelete", repository: A, digest: IMAGE } as const;
  scenario.put(A, IMAGE, EDGES, { tags: [V1], subject: OTHER });
  expect(scenario.run(undelete).refused).toBe("unknown");
  remove(scenario);
  scenario.put(A, INDEX, EDGES, { tags: [V1] });
  expect(scenario.run(undelete).refused).toBe("precondition");
  scenario.run({ type: "tag.delete", repository: A, tag: V1 });
  expect(scenario.run(undelete).refused).toBeUndefined();
  const catalog = catalogOf(scenario);
  expect(catalog.tag(A, V1)?.digest).toBe(IMAGE);
  expect((await catalog.referrers(A, OTHER, "", 9)).map(({ digest }) => digest)).toEqual([IMAGE]);
  expect(scenario.link(A, BLOB)).toMatchObject({ references: 2, trashed: 0 });
});

test("manifest.purge: only out of the trash; at no edge the blob's grace and a lease begin; an absent link does not refuse it", () => {
  const scenario = repository();
  const foreign = digestNamed("foreign");
  scenario.put(A, IMAGE, [...EDGES, { digest: foreign, kind: "foreign" }]);
  expect(purge(scenario).refused).toBe("state");
  remove(scenario);
  scenario.time = 19;
  expect(purge(scenario).refused).toBe("busy");
  scenario.time = 20;
  expect(purge(scenario).refused).toBeUndefined();
  expect(purge(scenario).refused).toBe("unknown");
  expect(scenario.link(A, BLOB)).toMatchObject({ references: 0, trashed: 0, zeroSince: 20, lease: 120 });
  expect(scenario.store.entries().filter(([key]) => key.startsWith("content/"))).toEqual([]);
  expect(disagreements(scenario.store)).toEqual([]);
});

test("a purged subject keeps its referrers listed and names them for the collector, until it is put again", async () => {
  const scenario = repository();
  scenario.put(A, IMAGE, EDGES);
  scenario.put(A, OTHER, EDGES, { subject: IMAGE });
  const orphans = (): number => scenario.store.entries().filter(([key]) => key.startsWith("gc/orphans/")).length;
  remove(scenario);
  scenario.time = 20;
  purge(scenario);
  expect(orphans()).toBe(1);
  expect((await catalogOf(scenario).referrers(A, IMAGE, "", 9)).length).toBe(1);
  scenario.put(A, IMAGE, EDGES);
  expect(orphans()).toBe(0);
});

test("children keep count of the indexes that name them, also where they are absent", () => {
  const scenario = repository();
  scenario.put(A, INDEX, [{ digest: IMAGE, kind: "manifest" }], { sparse: true });
  scenario.put(A, OTHER, [{ digest: IMAGE, kind: "manifest" }], { sparse: true });
  remove(scenario, OTHER);
  expect(disagreements(scenario.store)).toEqual([]);
  const child = scenario.store.entries().filter(([key]) => key.startsWith("child/"));
  expect(child.map(([key]) => key)).toEqual([`child/${A}\0${IMAGE}`]);
});
