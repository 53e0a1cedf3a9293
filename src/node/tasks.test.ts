import { expect, test } from "vitest";
import { MemoryConsensus } from "../consensus/memory.ts";
import type { RepositoryName } from "../core/reference.ts";
import { digestNamed, factsOf, rootNamed, SECRET_HASH } from "../metadata/scenario.ts";
import { workOf } from "./tasks.ts";
import { packUpkeep, parseUpkeep, type UpkeepVitals } from "./upkeep-vitals.ts";

const VITALS: UpkeepVitals = {
  short: { blobs: 2, bytes: 4_000 },
  moving: { blobs: 3, bytes: 600 },
  quarantined: 1,
  repairRate: 1_000,
  moveRate: 0,
  scrub: { running: true, done: 0.5, endedAtMs: 7, isLate: true },
  snapshot: undefined,
};

test("what a node says of its upkeep comes over the wire as it was; a node that does not tell, or tells too little, is not understood", () => {
  expect(parseUpkeep(packUpkeep(VITALS))).toEqual(VITALS);
  const never = { ...VITALS, scrub: { ...VITALS.scrub, endedAtMs: undefined } };
  expect(parseUpkeep(packUpkeep(never))).toEqual(never);
  const sending = { ...VITALS, snapshot: { to: 7, sentBytes: 8, tookMs: 9 } };
  expect(parseUpkeep(packUpkeep(sending))).toEqual(sending);
  expect(parseUpkeep({})).toBeUndefined();
  expect(parseUpkeep({ ...packUpkeep(VITALS), movingBytes: "600" })).toBeUndefined();
});

test("tasks have what is left, the rate of all nodes and the time that it takes; none where nothing is to be done", async () => {
  const consensus = new MemoryConsensus();
  await consensus.propose({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1) });
  await consensus.propose({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 1, ttlMs: 1_000 });
  const { value = 0 } = await consensus.propose({ type: "member.add", member: factsOf(2), token: { id: "t", hash: SECRET_HASH } });
  const blob = { repository: "a" as RepositoryName, digest: digestNamed("blob"), sizeBytes: 5_000, root: rootNamed("blob") };
  await consensus.propose({ type: "blob.commit", ...blob, copies: [1, value], deadline: 1_000, commitId: "c" });
  const { catalog } = consensus;
  const nothing = { blobs: 0, bytes: 0 };
  const idle = { ...VITALS, short: nothing, moving: nothing, quarantined: 0 };
  expect(workOf(catalog, idle, [idle, idle])).toEqual({ underReplicated: nothing, moving: nothing, quarantined: 0, tasks: [] });

  await consensus.propose({ type: "member.state", raftId: value, draining: true });
  expect(workOf(catalog, VITALS, [VITALS, VITALS])).toEqual({
    underReplicated: VITALS.short,
    moving: { blobs: 6, bytes: 1_200 },
    quarantined: 2,
    tasks: [
      { kind: "drain", node: "node-2", left: { blobs: 1, bytes: 5_000 }, bytesPerSecond: 2_000, msLeft: 2_500 },
      { kind: "repair", left: VITALS.short, bytesPerSecond: 2_000, msLeft: 2_000 },
      { kind: "rebalance", left: { blobs: 6, bytes: 1_200 }, bytesPerSecond: 0 },
    ],
  });
  const sending = { ...idle, snapshot: { to: value, sentBytes: 3_000, tookMs: 1_500 } };
  expect(workOf(catalog, sending, [idle, sending]).tasks).toContainEqual({
    ...{ kind: "snapshot", node: "node-2", sentBytes: 3_000, bytesPerSecond: 2_000 },
  });
});
