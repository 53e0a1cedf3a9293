import { expect, test } from "vitest";
import { renderAudit } from "./audit.ts";
import { renderProjects, renderTrash } from "./content.ts";
import { renderCollected, renderCollector, renderVerified } from "./gc.ts";
import { renderTokens } from "./token.ts";

test("tokens are a table that says what became of each", () => {
  const text = renderTokens([
    { id: "a1", state: "good", usesLeft: 2, msLeft: 7_200_000 },
    { id: "b2", state: "good", usesLeft: 1, msLeft: 90_000 },
    { id: "c3", state: "used up", usesLeft: 0, msLeft: 90_000 },
  ]);
  expect(text).toBe(
    "ID  STATE    USES LEFT  TIME LEFT\na1  good     2          2 h\nb2  good     1          2 min\nc3  used up  0          -\n",
  );
});

test("the audit trail ends with its newest record, and an empty one says so", () => {
  const entry = (at: string, target: string) => ({ at, node: "n1", action: "join.refused", target, detail: "wrong, from 192.0.2.1" });
  expect(renderAudit([entry("2026-01-02", "new"), entry("2026-01-01", "old")])).toMatch(
    /^AT .*\n2026-01-01 .* old .*\n2026-01-02 .* new .*\n$/,
  );
  expect(renderAudit([])).toContain("Nothing");
});

test("the garbage collector's table says whether it runs, what it waits for and what its runs freed", () => {
  const freed = [
    { node: "n1", bytes: 1_048_576 },
    { node: "n2", bytes: 1_048_576 },
  ];
  const collected = { manifests: 1, links: 2, blobs: 3, freed };
  const run = { ...collected, startedAt: "2026-01-01T00:00:00.000Z", endedAt: "2026-01-01T00:00:01.000Z" };
  const text = renderCollector({ held: "an audit", running: false, condemned: 2, awaited: ["n2"], runs: [run] });
  expect(text).toMatch(
    /^collector {2}held: an audit\ncondemned {2}2, awaited from n2\n\nRUN .*\n2026-01-01T00:00:00.000Z +1 +2 +3 +2\.0 MiB\n$/,
  );
  expect(renderCollector({ running: false, condemned: 0, awaited: [], runs: [] })).toBe("collector  waits for its time\ncondemned  0\n");
  expect(renderCollected(collected, true)).toBe(
    "1 manifests would be purged, 2 links and 3 blobs would be removed.\nNODE  TO BE FREED\nn1    1.0 MiB\nn2    1.0 MiB\n",
  );
});

test("projects are a table of what is used and allowed; the trash one of what can be taken back", () => {
  const project = { project: "team", usedBytes: 1_048_576, blobs: 1, repositories: 2, protectedRepositories: [] };
  expect(renderProjects([{ ...project, quota: { bytes: 10_485_760 }, immutableTags: ["v*", "r*"] }])).toBe(
    "PROJECT  USED                 REPOSITORIES  IMMUTABLE TAGS  PROTECTED\nteam     1.0 MiB of 10.0 MiB  2             v*,r*           -\n",
  );
  expect(renderTrash([{ digest: "sha256:0", bytes: 512, tags: ["v1"], msLeft: 7_200_000 }])).toBe(
    "DIGEST    TAGS  SIZE   TIME LEFT\nsha256:0  v1    512 B  2 h\n",
  );
  expect(renderTrash([])).toContain("Nothing");
});

test("what was compared is a table with a row a node, and a line for each finding", () => {
  const nodes = [{ node: "n1", files: 3, copies: 2 }, { node: "n2" }];
  const whole = { manifests: 1, links: 2, blobs: 3, nodes };
  expect(renderVerified({ ...whole, found: 0, findings: [] })).toBe(
    "1 manifests, 2 links and 3 blobs were looked at.\n\nNODE  FILES      COPIES\nn1    3          2\nn2    no answer  -\n\nAll agree.\n",
  );
  expect(renderVerified({ ...whole, found: 1, findings: ["n1 has no file"] })).toMatch(/\n! n1 has no file\n$/);
});
