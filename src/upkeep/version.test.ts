import { afterEach, expect, test } from "vitest";
import { ManualClock } from "../consensus/manual-clock.ts";
import { MemoryConsensus } from "../consensus/memory.ts";
import { silentLog } from "../core/log.ts";
import { factsOf, SECRET_HASH } from "../metadata/scenario.ts";
import { keepVersion, raisableTo } from "./version.ts";

let end: (() => void) | undefined;
afterEach(() => end?.());

/** Members 1, 4 and 5. */
async function bench() {
  const consensus = new MemoryConsensus();
  const clock = new ManualClock();
  await consensus.propose({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1) });
  await consensus.propose({ type: "token.create", id: "t", hash: SECRET_HASH, uses: 9, ttlMs: 1e9 });
  for (const node of [2, 3]) await consensus.propose({ type: "member.add", member: factsOf(node), token: { id: "t", hash: SECRET_HASH } });
  const ids = consensus.catalog.members().map(({ raftId }) => raftId);
  const leadership = { leads: true, changed: (): void => undefined };
  const membership = {
    leads: () => leadership.leads,
    onConfiguration: (listener: () => void) => {
      leadership.changed = listener;
      return () => undefined;
    },
  };
  const raises: (string | undefined)[] = [];
  consensus.onApplied(({ command, outcome }) => {
    if (command.type === "cluster.raise") raises.push(outcome.refused);
  });
  end = keepVersion({ consensus, membership, clock, log: silentLog });
  return {
    consensus,
    clock,
    leadership,
    raises,
    version: () => consensus.catalog.cluster()?.version,
    report: (node: number, versionMax: number) =>
      consensus.propose({ type: "member.update", raftId: ids[node - 1]!, member: factsOf(node, { versionMax }) }),
    down: (node: number, down: boolean) => consensus.propose({ type: "member.state", raftId: ids[node - 1]!, down }),
    /** All that was woken has run. */
    rest: () => new Promise(setImmediate),
  };
}

test("cluster.raise is proposed once every member that is not down reports that it can, and to what the least of them can", async () => {
  const { raises, version, report, down, rest } = await bench();
  await report(1, 3);
  await report(2, 2);
  await rest();
  expect([version(), raises]).toEqual([1, []]);
  await down(3, true);
  await rest();
  expect([version(), raises]).toEqual([2, [undefined]]);
  await report(2, 3);
  await rest();
  expect([version(), raises]).toEqual([3, [undefined, undefined]]);
});

test("only the leader proposes it; a new one does when it begins to lead", async () => {
  const { leadership, version, report, rest } = await bench();
  leadership.leads = false;
  for (const node of [1, 2, 3]) await report(node, 2);
  await rest();
  expect(version()).toBe(1);
  leadership.leads = true;
  leadership.changed();
  await rest();
  expect(version()).toBe(2);
});

test("a proposal that failed is made again", async () => {
  const { consensus, clock, version, report, rest } = await bench();
  const { propose } = consensus;
  consensus.propose = (command, options) =>
    command.type === "cluster.raise" ? Promise.reject(new Error("no leader")) : propose.call(consensus, command, options);
  for (const node of [1, 2, 3]) await report(node, 2);
  await rest();
  consensus.propose = propose;
  clock.advance(30_000);
  await rest();
  expect(version()).toBe(2);
});

test("nothing can be raised before there is a cluster, or where all members are down", () => {
  expect(raisableTo(undefined, [{ down: false, versionMax: 2 }])).toBeUndefined();
  expect(raisableTo({ version: 1 }, [{ down: true, versionMax: 2 }])).toBeUndefined();
  expect(raisableTo({ version: 2 }, [{ down: false, versionMax: 2 }])).toBeUndefined();
});
