import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { MemoryConsensus } from "../consensus/memory.ts";
import type { PeerId } from "../core/peer.ts";
import { factsOf, SECRET_HASH } from "../metadata/scenario.ts";
import { admit, checkJoinAddress, joinAddresses, memberOf, versionsThatMayJoin } from "./join.ts";

const PEER = "12D3KooWJZ7R7D3t1UQPtBvM8dvCMxkrtEMDNTnnAW4dwAmSYgkN" as PeerId;
const FACTS = { name: "b", zone: "", capacity: 1, addresses: ["/ip4/127.0.0.1/tcp/5100"], http: "127.0.0.1:5000", versionMax: 1 };

test("a newcomer is who its connection proves it to be, whatever it says of itself", () => {
  expect(memberOf({ ...FACTS, peerId: "somebody else", raftId: 1, down: true }, PEER)).toEqual({ ...FACTS, peerId: PEER });
});

test("what would not do as a member's facts goes into no catalog", () => {
  const wrong = [
    { name: "a b" },
    { name: "x".repeat(64) },
    { zone: 1 },
    { capacity: 0 },
    { capacity: Number.NaN },
    { capacity: 1e9 },
    { addresses: [] },
    { addresses: ["127.0.0.1:5100"] },
    { addresses: Array.from({ length: 17 }, () => "/ip4/127.0.0.1/tcp/1") },
    { addresses: "/ip4/127.0.0.1/tcp/1" },
    { http: undefined },
    { http: "x".repeat(257) },
    { versionMax: 1.5 },
  ];
  for (const fact of wrong) expect(() => memberOf({ ...FACTS, ...fact }, PEER), JSON.stringify(fact)).toThrow("is not as it is to be");
});

test("an address at which nobody could ever be dialled is refused at once, in a line that says what one looks like", () => {
  for (const good of ["10.0.0.1:5100", "[::1]:5100", "node-1:5100", "/dns4/node-1/tcp/5100", `/ip4/10.0.0.1/tcp/5100/p2p/${PEER}`]) {
    expect(() => checkJoinAddress(good), good).not.toThrow();
  }
  for (const bad of ["", "bogus", "[::1]", "http://x:1", "10.0.0.1:0", "10.0.0.1:70000", "/ip4/10.0.0.1/udp/5100", "/ip4/10.0.0.1"]) {
    expect(() => checkJoinAddress(bad), bad).toThrow(/^--join[^\n]* such as [^\n]*\/ip4\/192\.0\.2\.1\/tcp\/5100$/);
  }
});

test("a name stands for each of its addresses, from a place of their order that chance gives; an address stands for itself", async () => {
  const asked: unknown[] = [];
  const lookup = async (name: string, family: number) => {
    asked.push([name, family]);
    return ["192.0.2.1", "2001:db8::1", "192.0.2.2"];
  };
  const from = (float: number) => ({ lookup, random: { float: () => float, bytes: () => new Uint8Array() } });
  const ip4 = (last: number) => `/ip4/192.0.2.${last}/tcp/5100`;
  expect(await joinAddresses("registry.example.com:5100", from(0))).toEqual([ip4(1), "/ip6/2001:db8::1/tcp/5100", ip4(2)]);
  expect(await joinAddresses("/dns4/registry.example.com/tcp/5100", from(0.99))).toEqual([ip4(2), ip4(1), "/ip6/2001:db8::1/tcp/5100"]);
  expect(asked).toEqual([
    ["registry.example.com", 0],
    ["registry.example.com", 4],
  ]);
  expect(await joinAddresses("192.0.2.7:5100", from(0))).toEqual([ip4(7)]);
});

test("a name that is not known yet is one to be asked again", async () => {
  const lookup = async () => Promise.reject(new Error("getaddrinfo ENOTFOUND"));
  const where = { lookup, random: { float: () => 0, bytes: () => new Uint8Array() } };
  await expect(joinAddresses("registry.example.com:5100", where)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("which versions may join is said in releases where one is known", () => {
  expect([versionsThatMayJoin(1, 1), versionsThatMayJoin(1, 2)]).toEqual([undefined, undefined]);
  expect(versionsThatMayJoin(1, 0)).toBe("roadstead 0.1.0 or later");
  expect(versionsThatMayJoin(99, 98)).toMatch(/^roadstead \d+\.\d+\.\d+$/);
});

async function cluster() {
  const consensus = new MemoryConsensus();
  const key = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "der" });
  await consensus.propose({ type: "cluster.init", clusterId: "c", publicKey: new Uint8Array(1), member: factsOf(1) });
  const create = (id: string, uses = 1, ttlMs = 1_000) => consensus.propose({ type: "token.create", id, hash: SECRET_HASH, uses, ttlMs });
  const admission = { consensus, audit: { note: () => {} }, clusterId: "c", keys: { secret: new Uint8Array(32), key } };
  const ask = (node: number, id: string, hash = SECRET_HASH, more: object = {}) =>
    admit(admission, factsOf(node, more), { id, hash }, new AbortController().signal);
  return { consensus, create, ask };
}

test("a newcomer with the secret is told what became of its token; one without is told the same whatever it shows", async () => {
  const { consensus, create, ask } = await cluster();
  for (const id of ["used", "revoked", "good"]) await create(id);
  await create("expired", 1, 0);
  expect(await ask(2, "used")).not.toHaveProperty("refused");
  await consensus.propose({ type: "token.revoke", id: "revoked" });
  consensus.stampMs = 1;
  await consensus.propose({ type: "clock.tick" });
  const answers = (hash?: Uint8Array) => Promise.all(["used", "revoked", "expired", "none"].map((id) => ask(3, id, hash)));
  expect(await answers()).toEqual(["usedUp", "revoked", "expired", "wrong"].map((refused) => ({ refused })));
  expect(await answers(new Uint8Array(32))).toEqual(Array(4).fill({ refused: "wrong" }));
});

test("a name, or an address, that a member has is taken; where that member is down its address is free", async () => {
  const { consensus, create, ask } = await cluster();
  await create("t", 9);
  const { name, addresses } = factsOf(1);
  expect(await ask(2, "t", SECRET_HASH, { name })).toEqual({ refused: "nameTaken" });
  expect(await ask(2, "t", SECRET_HASH, { addresses: ["/ip4/192.0.2.1/tcp/1", ...addresses] })).toEqual({ refused: "addressTaken" });
  await consensus.propose({ type: "member.state", raftId: 1, down: true });
  expect(await ask(2, "t", SECRET_HASH, { addresses })).not.toHaveProperty("refused");
  expect(await ask(3, "t", SECRET_HASH, { name })).toEqual({ refused: "nameTaken" });
});

test("G7: who has no good token writes nothing into the log, and a member that asks again is answered without one", async () => {
  const { consensus, create, ask } = await cluster();
  await create("t");
  const { lastIndex } = consensus.status();
  expect(await ask(2, "t", new Uint8Array(32))).toEqual({ refused: "wrong" });
  expect(await ask(2, "none")).toEqual({ refused: "wrong" });
  expect(consensus.status().lastIndex).toBe(lastIndex);
  const answer = await ask(2, "t");
  expect(await ask(2, "t")).toEqual(answer);
});

test("a node that is cut off refuses no token: it asks to be asked again", async () => {
  const { consensus, create, ask } = await cluster();
  await create("t");
  consensus.cutOff = true;
  await expect(ask(2, "none")).rejects.toMatchObject({ code: "UNAVAILABLE" });
});
