import { expect, test } from "vitest";
import { MemoryConsensus } from "../consensus/memory.ts";
import { factsOf } from "../metadata/scenario.ts";
import { guardVersion } from "./version-guard.ts";

const LINE = /raised to version 2, and this program knows versions up to 1: install the version of roadstead that the other members run$/;

async function cluster() {
  const consensus = new MemoryConsensus();
  await consensus.propose({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1, { versionMax: 2 }) });
  const failures: string[] = [];
  const guard = (versionMax: number) => guardVersion(consensus, (error) => failures.push(error.message), versionMax);
  return { consensus, failures, guard, raise: () => consensus.propose({ type: "cluster.raise", version: 2 }).then(() => undefined) };
}

test("a member that comes back older than the cluster is refused in one line that says what to install", async () => {
  const { guard, raise } = await cluster();
  guard(1)();
  await raise();
  expect(() => guard(1)).toThrow(LINE);
  guard(2)();
});

test("a node that runs ends when the cluster is raised beyond it, by an entry or by a snapshot", async () => {
  for (const how of ["entry", "snapshot"]) {
    const { consensus, failures, guard, raise } = await cluster();
    const end = guard(1);
    await (how === "entry" ? raise() : consensus.bySnapshot(raise));
    expect(failures, how).toEqual([expect.stringMatching(LINE)]);
    end();
  }
});
