import { expect, test } from "vitest";
import { confirm, type RecoveryPlan, renderPlan } from "./recover.ts";

const PLAN: RecoveryPlan = {
  clusterId: "1b2c3d4e-0000-4000-8000-000000000000",
  chosen: "n4",
  survivors: [
    { name: "n1", lastTerm: 7, lastIndex: 90, appliedIndex: 88 },
    { name: "n4", lastTerm: 7, lastIndex: 112, appliedIndex: 110 },
  ],
  lost: [
    { name: "n2", http: "192.0.2.2:5000" },
    { name: "n3", http: "192.0.2.3:5000" },
  ],
  lostBlobs: 1,
};

const typing = (line: string | undefined) => ({ ask: async () => line });

test("a plan shows how far each survivor is, which one is gone on from, who is lost, and what that costs", () => {
  const text = renderPlan(PLAN);
  expect(text).toMatch(/^n1 +7 +90 +88 +follows$/m);
  expect(text).toMatch(/^n4 +7 +112 +110 +the cluster goes on from here$/m);
  expect(text).toMatch(/^n2 .*does not answer \(192\.0\.2\.2:5000\): LOST$/m);
  expect(text).toContain("1 blob has its only copies on nodes that are lost");
  expect(text).toContain("If the others are alive and only cut off, do\nNOT recover");
});

test("a recovery takes the cluster's id, or its first part, or in a script the names of all that are lost, and nothing less", async () => {
  for (const line of [PLAN.clusterId, " 1b2c3d4e "]) expect(await confirm(typing(line), PLAN, undefined)).toEqual(["n2", "n3"]);
  for (const line of ["", "y", "yes", "1b2c", "n2,n3"])
    await expect(confirm(typing(line), PLAN, undefined), line).rejects.toThrow("that is not the cluster's id: nothing was done");
  await expect(confirm(typing(undefined), PLAN, undefined)).rejects.toThrow("give --yes-i-have-lost n2,n3");
  expect(await confirm(typing(undefined), PLAN, "n3, n2")).toEqual(["n3", "n2"]);
  for (const names of ["n2", "n2,n3,n1", ""])
    await expect(confirm(typing("1b2c3d4e"), PLAN, names), names).rejects.toThrow("nothing was done");
});
