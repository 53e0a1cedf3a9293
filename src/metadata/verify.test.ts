import fc from "fast-check";
import { expect, test } from "vitest";
import type { RepositoryName, Tag } from "../core/reference.ts";
import { blobKey, linkKey } from "./keys.ts";
import { DRAWS, makeLog } from "./random-log.ts";
import { BLOB, LINK } from "./rows.ts";
import { digestNamed, Scenario } from "./scenario.ts";
import { verifyCatalog } from "./verify.ts";

const APP = "team/app" as RepositoryName;
const ONE = digestNamed("one");
const never = new AbortController().signal;

function image(scenario: Scenario, repository: RepositoryName, name: string): void {
  scenario.commit(repository, ONE, [1]);
  scenario.put(repository, digestNamed(name), [{ digest: ONE, kind: "blob" }], { tags: [name as Tag] });
}

test("a sound catalog gives no finding; each count, link and record that is wrong gives one that names it", async () => {
  const scenario = new Scenario();
  scenario.found(1);
  image(scenario, APP, "a");
  image(scenario, "team/app-2" as RepositoryName, "b");
  image(scenario, "team" as RepositoryName, "c");
  const verify = async () => verifyCatalog(scenario.store, never);
  expect(await verify()).toEqual({ manifests: 3, links: 3, blobs: 1, findings: [], found: 0 });

  const link = scenario.link(APP, ONE)!;
  const record = scenario.blob(ONE)!;
  const with_ = async (key: string, value: Uint8Array | undefined, restored: Uint8Array) => {
    scenario.store.write([{ key, value }]);
    const { findings } = await verify();
    scenario.store.write([{ key, value: restored }]);
    return findings;
  };
  const [key, good] = [linkKey(APP, ONE), LINK.encode(link)];
  expect(await with_(key, LINK.encode({ ...link, references: 2 }), good)).toEqual([
    expect.stringMatching(/^team\/app: blob .* counts 2 references.* say 1 references/),
  ]);
  expect(await with_(key, undefined, good)).toEqual([
    expect.stringMatching(/^team\/app: blob .* counts nothing, and its manifests say 1 references/),
    expect.stringMatching(/^team\/app: a manifest names the blob .*, which is not there/),
    expect.stringMatching(/^the record of .* counts 3 links, and there are 2/),
  ]);
  const [blob, whole] = [blobKey(ONE), BLOB.encode(record)];
  expect(await with_(blob, BLOB.encode({ ...record, links: 4 }), whole)).toEqual([
    expect.stringMatching(/^the record of .* counts 4 links, and there are 3/),
  ]);
  expect((await with_(blob, undefined, whole)).some((finding) => finding.endsWith("has links and no record"))).toBe(true);
  expect(await with_(blob, BLOB.encode({ ...record, state: "condemned" }), whole)).toHaveLength(3);
  expect((await verify()).findings).toEqual([]);
});

test("G5: whatever is done to a catalog, its counts are those of its manifests", async () => {
  await fc.assert(
    fc.asyncProperty(DRAWS, async (draws) => {
      const { findings } = await verifyCatalog(makeLog(draws).store, never);
      // a manifest may name what is allowed to be missing; it is the counts that must agree
      expect(findings.filter((finding) => !finding.endsWith("which is not there"))).toEqual([]);
    }),
    { numRuns: 60, seed: 7 },
  );
});
