import { expect, test } from "vitest";
import type { Digest } from "../core/digest.ts";
import type { PeerId } from "../core/peer.ts";
import type { RepositoryName, Tag } from "../core/reference.ts";
import { digestNamed, Scenario } from "./scenario.ts";
import { type AppliedCatalog, createCatalog } from "./store-catalog.ts";
import type { CatalogStore } from "./view.ts";

const A = "team/a" as RepositoryName;
const IMAGE = digestNamed("image");

/** Counts what reaches the store. */
function counted(store: CatalogStore): { readonly store: CatalogStore; reads(): number } {
  let reads = 0;
  return {
    store: {
      get(key) {
        reads += 1;
        return store.get(key);
      },
      scan: (prefix, after, limit) => store.scan(prefix, after, limit),
    },
    reads: () => reads,
  };
}

function pushed(...names: string[]): Scenario {
  const scenario = new Scenario();
  scenario.found(1);
  for (const name of names) scenario.put(name as RepositoryName, IMAGE, [], { tags: ["v1" as Tag], bytes: Buffer.from("{ }") });
  return scenario;
}

test("a tag and a manifest are decoded once, and again only after their keys have changed", () => {
  const scenario = pushed(A);
  const { store, reads } = counted(scenario.store);
  const catalog = createCatalog(store);
  const first = catalog.manifest(A, IMAGE);
  expect(first?.bytes.toString()).toBe("{ }");
  catalog.tag(A, "v1" as Tag);
  const before = reads();
  for (let round = 0; round < 10; round += 1) {
    expect(catalog.manifest(A, IMAGE)).toBe(first);
    catalog.tag(A, "v1" as Tag);
  }
  expect(reads()).toBe(before);
  scenario.put(A, IMAGE, [], { tags: ["v2" as Tag] });
  catalog.changed([`manifest/${A}\0${IMAGE}`]);
  expect(catalog.manifest(A, IMAGE)?.tags).toEqual(["v1", "v2"]);
});

test("what is absent is remembered as absent until its key changes", () => {
  const scenario = pushed(A);
  const { store, reads } = counted(scenario.store);
  const catalog = createCatalog(store);
  const read = () => catalog.tag(A, "later" as Tag);
  expect(read()).toBeUndefined();
  const before = reads();
  expect(read()).toBeUndefined();
  expect(reads()).toBe(before);
  scenario.put(A, IMAGE, [], { tags: ["later" as Tag] });
  catalog.changed([`tag/${A}\0later`]);
  expect(read()?.digest).toBe(IMAGE);
});

test("the cache stays within its bytes: a manifest larger than all of it is served and not kept", () => {
  const scenario = new Scenario();
  scenario.found(1);
  scenario.put(A, IMAGE, [], { bytes: Buffer.alloc(5_000) });
  const { store, reads } = counted(scenario.store);
  const catalog = createCatalog(store, { cacheBytes: 4_000 });
  expect(catalog.manifest(A, IMAGE)?.bytes.byteLength).toBe(5_000);
  const before = reads();
  expect(catalog.manifest(A, IMAGE)?.bytes.byteLength).toBe(5_000);
  expect(reads()).toBeGreaterThan(before);
});

test("members and need are read again only once a member's key has changed", () => {
  const scenario = new Scenario();
  scenario.found(1);
  const catalog = createCatalog(scenario.store);
  expect(catalog.need()).toBe(1);
  expect(catalog.members()).toBe(catalog.members());
  scenario.join(1);
  expect(catalog.need()).toBe(1);
  catalog.changed(["roster"]);
  expect([catalog.need(), catalog.target(), catalog.members().length]).toEqual([2, 2, 2]);
});

async function pages<T extends string>(read: (after: string, limit: number) => Promise<readonly T[]>, limit: number): Promise<T[]> {
  const all: T[] = [];
  for (let page = await read("", limit); page.length > 0; page = await read(page.at(-1) ?? "", limit)) all.push(...page);
  return all;
}

test("names come in the order of their bytes, and no repository's tags are among those of one whose name it begins with", async () => {
  const names = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "a_b", "ab", "b"];
  const scenario = pushed(...names.toReversed());
  const catalog = createCatalog(scenario.store);
  expect(await pages((after, limit) => catalog.repositories(after, limit), 2)).toEqual(names);
  for (const tag of ["V1", "_x", "1.0", "v1-a", "v1.a", "v10"]) scenario.put("a" as RepositoryName, IMAGE, [], { tags: [tag as Tag] });
  const tags = await pages((after, limit) => catalog.tags("a" as RepositoryName, after, limit), 3);
  expect(tags).toEqual(["1.0", "V1", "_x", "v1", "v1-a", "v1.a", "v10"]);
  expect(await catalog.tags("a/b" as RepositoryName, "", 99)).toEqual(["v1"]);
});

test("a listing may start after what does not exist, and a limit of 0 lists nothing", async () => {
  const catalog = createCatalog(pushed("b", "d").store);
  expect(await catalog.repositories("c", 9)).toEqual(["d"]);
  expect(await catalog.repositories("", 0)).toEqual([]);
  expect(await catalog.tags("b" as RepositoryName, "v", 9)).toEqual(["v1"]);
  expect(await catalog.tags("b" as RepositoryName, "", 0)).toEqual([]);
  expect(await catalog.tags("none" as RepositoryName, "", 9)).toEqual([]);
});

test("emptied repositories are passed over, however many stand before the next", async () => {
  const names = Array.from({ length: 600 }, (_, at) => `r${String(at).padStart(4, "0")}`);
  const scenario = pushed(...names, "z");
  for (const name of names) scenario.run({ type: "manifest.delete", repository: name as RepositoryName, digest: IMAGE });
  expect(await createCatalog(scenario.store).repositories("", 1)).toEqual(["z"]);
});

test("referrers are paged by digest", async () => {
  const scenario = pushed();
  const digests = Array.from({ length: 7 }, (_, at) => digestNamed(`referrer ${at}`)).sort();
  for (const digest of digests.toReversed()) scenario.put(A, digest, [], { subject: IMAGE, artifactType: "x/y" });
  const catalog = createCatalog(scenario.store);
  const read = async (after: string, limit: number): Promise<Digest[]> =>
    (await catalog.referrers(A, IMAGE, after, limit)).map(({ digest }) => digest);
  expect(await pages(read, 3)).toEqual(digests);
});

const allShort = (catalog: AppliedCatalog, limit: number) => pages((after, many) => catalog.shortRecords(after, many), limit);

test("records are short after growth, and after a removal, without a write to any of them", async () => {
  const scenario = new Scenario();
  scenario.found(1);
  const digests = Array.from({ length: 9 }, (_, at) => digestNamed(`blob ${at}`)).sort();
  for (const digest of digests) scenario.commit(A, digest, [1]);
  const catalog = createCatalog(scenario.store);
  expect(await allShort(catalog, 2)).toEqual([]);
  const [second, third, fourth] = [scenario.join(1), scenario.join(2), scenario.join(3)];
  catalog.changed(["roster"]);
  expect(await allShort(catalog, 2)).toEqual(digests);
  const [first = IMAGE, other = IMAGE] = digests;
  const spread = (digest: Digest, ...copies: number[]): void => {
    for (const copy of copies) scenario.run({ type: "copy.add", digest, copy, deadline: 0, commitId: "c" });
  };
  spread(first, second, third);
  spread(other, second, third, fourth);
  expect(await allShort(catalog, 2)).toEqual(digests.slice(2));
  scenario.run({ type: "member.remove", raftId: third });
  catalog.changed(["roster"]);
  expect(await allShort(catalog, 4)).toEqual(digests.toSpliced(1, 1));
  spread(first, fourth);
  expect(await allShort(catalog, 4)).toEqual(digests.slice(2));
});

test("one that was removed is known as such, one that never was a member is not", () => {
  const scenario = new Scenario();
  const [, second] = scenario.found(2);
  const catalog = createCatalog(scenario.store);
  const { peerId } = catalog.member(second ?? 0)!;
  expect(catalog.wasRemoved(peerId)).toBe(false);
  scenario.run({ type: "member.remove", raftId: second ?? 0 });
  const after = createCatalog(scenario.store);
  expect([after.wasRemoved(peerId), after.wasRemoved("12D3KooWstranger" as PeerId)]).toEqual([true, false]);
});

test("heldOnlyBy names what would be lost with a member, the copies of removed ones left out", async () => {
  const scenario = new Scenario();
  const [one = 0, two = 0, three = 0] = scenario.found(3);
  const [mine, shared] = [digestNamed("mine"), digestNamed("shared")];
  scenario.commit(A, mine, [one, two]);
  scenario.commit(A, shared, [one, three]);
  scenario.run({ type: "member.remove", raftId: two });
  const catalog = createCatalog(scenario.store);
  expect(await catalog.heldOnlyBy(one, "", 9)).toEqual([mine]);
  expect(await catalog.heldOnlyBy(three, "", 9)).toEqual([]);
});
