import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { loadConfig } from "../config/load.ts";
import { MemoryConsensus } from "../consensus/memory.ts";
import type { Clock } from "../core/clock.ts";
import { silentLog } from "../core/log.ts";
import type { PeerId } from "../core/peer.ts";
import type { MemberFacts } from "../metadata/commands.ts";
import { announceSelf } from "./self-announcement.ts";
import { isLoopback, isUpToDate, selfFacts } from "./self-facts.ts";

const PEER = "12D3KooWJZ7R7D3t1UQPtBvM8dvCMxkrtEMDNTnnAW4dwAmSYgkN" as PeerId;
const signal = new AbortController().signal;

function factsAt(http: string, addresses: readonly string[] = ["/ip4/192.0.2.7/tcp/5100"], name = "a"): MemberFacts {
  return selfFacts(loadConfig({ flags: { "node.name": name } }), PEER, addresses, http);
}

async function cluster(member: MemberFacts): Promise<MemoryConsensus> {
  const consensus = new MemoryConsensus();
  const { publicKey } = generateKeyPairSync("ed25519");
  await consensus.propose({ type: "cluster.init", clusterId: "c1", publicKey: publicKey.export({ format: "der", type: "spki" }), member });
  return consensus;
}

/** Waiting ends at once, after `meanwhile`. */
function impatientClock(meanwhile: () => void): Clock {
  const after = (_delayMs: number, run: () => void): (() => void) => {
    meanwhile();
    queueMicrotask(run);
    return () => undefined;
  };
  return { wallMs: () => 0, monotonicMs: () => 0, after, every: () => () => undefined };
}

test("what has changed of a node since its last run is told to the cluster, once", async () => {
  const consensus = await cluster(factsAt("127.0.0.1:5000"));
  const heard: string[] = [];
  consensus.onApplied(({ command }) => heard.push(command.type));
  const moved = factsAt("127.0.0.1:6000", ["/ip4/192.0.2.8/tcp/5100"], "b");
  const announcement = { consensus, facts: moved, clock: impatientClock(() => undefined), log: silentLog, signal };
  await announceSelf(announcement);
  await announceSelf(announcement);
  expect(heard.filter((type) => type === "member.update")).toEqual(["member.update"]);
  expect(consensus.catalog.member(1)).toMatchObject({ name: "b", http: "127.0.0.1:6000", addresses: ["/ip4/192.0.2.8/tcp/5100"] });
});

test("without a quorum it is tried again until there is one", async () => {
  const consensus = await cluster(factsAt("127.0.0.1:5000"));
  consensus.cutOff = true;
  const clock = impatientClock(() => {
    consensus.cutOff = false;
  });
  await announceSelf({ consensus, facts: factsAt("127.0.0.1:6000"), clock, log: silentLog, signal });
  expect(consensus.catalog.member(1)?.http).toBe("127.0.0.1:6000");
});

test("a wildcard is never announced: the host that the other nodes are told stands in its place", () => {
  expect(factsAt("0.0.0.0:5000").http).toBe("192.0.2.7:5000");
  expect(factsAt("[::]:5000", ["/ip6/2001:db8::7/tcp/5100"]).http).toBe("[2001:db8::7]:5000");
  expect(factsAt("[::1]:5000").http).toBe("[::1]:5000");
});

test("each fact counts for whether the catalog is up to date", () => {
  const facts = factsAt("127.0.0.1:5000");
  const member = { ...facts, raftId: 1, down: false, draining: false };
  expect(isUpToDate(member, facts)).toBe(true);
  for (const change of [{ name: "x" }, { zone: "x" }, { capacity: 2 }, { http: "x" }, { versionMax: 99 }, { addresses: ["/dns/x/tcp/1"] }])
    expect(isUpToDate(member, { ...facts, ...change }), JSON.stringify(change)).toBe(false);
});

test("only 127.0.0.0/8, ::1 and localhost are loopback", () => {
  expect(["127.0.0.1", "127.9.9.9", "::1", "localhost"].filter((host) => !isLoopback(host))).toEqual([]);
  expect(["0.0.0.0", "::", "10.0.0.1", "127.example.com", "127.0.0.1.example.com", "registry"].filter(isLoopback)).toEqual([]);
});
