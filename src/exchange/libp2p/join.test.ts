import { generateKeyPairSync, sign } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { OciError } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { systemRandom } from "../../core/random.ts";
import { drawToken, fingerprintOf, hashSecret, type JoinToken, sameBytes } from "../join-token.ts";
import { ManualClock } from "../manual-clock.conformance.ts";
import { signMembership, signSupersession } from "../membership-certificate.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Host } from "./host.ts";
import { type JoinAnswer, type JoinServer, requestJoin, serveJoin } from "./join.ts";
import { askStanding } from "./standing.ts";

const never = new AbortController().signal;
const keys = generateKeyPairSync("ed25519");
const publicKey = keys.publicKey.export({ type: "spki", format: "der" });
const clusterKey = keys.privateKey.export({ type: "pkcs8", format: "der" });

let loopback: Loopback;
let clock: ManualClock;
let member: Host;
let newcomer: Host;
let token: JoinToken;
let admitted: { facts: unknown; tokenId: string }[];
let refusals: [peer: string, remoteHost: string, reason: string][];

beforeEach(async () => {
  loopback = new Loopback();
  clock = new ManualClock();
  member = await loopback.host();
  newcomer = await loopback.host({ member: false });
  token = drawToken(systemRandom, fingerprintOf(publicKey));
  admitted = [];
  refusals = [];
});
afterEach(() => loopback.close());

const admit: JoinServer["admit"] = async (facts, tokenId, secretHash, peer) => {
  if (tokenId !== token.id || !sameBytes(secretHash, hashSecret(token.secret))) return { refused: "wrong" };
  admitted.push({ facts, tokenId });
  return answerFor(peer);
};

function answerFor(peer: Host["self"]): JoinAnswer {
  const membership = { clusterId: "c1", peerId: peer, raftId: 7 };
  return {
    clusterId: "c1",
    raftId: 7,
    publicKey,
    clusterSecret: Uint8Array.of(1, 2, 3),
    clusterKey,
    certificate: signMembership(keys.privateKey, membership),
    members: [{ raftId: 1, peerId: member.self, addresses: member.addresses() }],
  };
}

function serve(changes: Partial<JoinServer> = {}): Promise<void> {
  return serveJoin(member, {
    publicKey,
    sign: (message) => sign(null, message, keys.privateKey),
    clock,
    log: silentLog,
    wasRemoved: () => false,
    supersession: () => undefined,
    mayJoin: () => undefined,
    onRefused: (peer, remoteHost, reason) => refusals.push([peer, remoteHost, reason]),
    admit,
    ...changes,
  });
}

const join = (with_: JoinToken = token, addresses = member.addresses()): Promise<JoinAnswer> =>
  requestJoin(
    newcomer,
    addresses,
    { token: with_, facts: { name: "n2", zone: "a" }, version: { program: "0.1.0", schema: 1 } },
    systemRandom,
    never,
  );

test("a newcomer with a good token is told the cluster, its number and its certificate, and the member learns its facts", async () => {
  await serve();
  const answer = await join();
  expect(answer).toMatchObject({
    clusterId: "c1",
    raftId: 7,
    members: [{ raftId: 1, peerId: member.self, addresses: member.addresses() }],
  });
  expect(sameBytes(answer.clusterSecret, Uint8Array.of(1, 2, 3)) && sameBytes(answer.clusterKey, clusterKey)).toBe(true);
  expect(sameBytes(answer.publicKey, publicKey)).toBe(true);
  expect(admitted).toEqual([{ facts: { name: "n2", zone: "a" }, tokenId: token.id }]);
});

test("addresses that nobody answers at are passed over, HOST:PORT is one", async () => {
  await serve();
  const port = /tcp\/(\d+)/.exec(member.addresses()[0]!)![1];
  expect(await join(token, ["127.0.0.1:1", `127.0.0.1:${port}`])).toMatchObject({ raftId: 7 });
  await expect(join(token, ["127.0.0.1:1"])).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("a cluster with another key than the token's never learns the secret", async () => {
  await serve();
  await expect(join({ ...token, fingerprint: fingerprintOf(Uint8Array.of(9)) })).rejects.toMatchObject({ name: "WrongCluster" });
  expect(admitted).toEqual([]);
});

test("a node that shows the cluster's public key and cannot sign with it never learns the secret", async () => {
  const other = generateKeyPairSync("ed25519").privateKey;
  await serve({ sign: (message) => sign(null, message, other) });
  await expect(join()).rejects.toMatchObject({ name: "WrongCluster" });
  expect(admitted).toEqual([]);
});

test("an answer whose certificate is for another peer is not believed", async () => {
  await serve({ admit: async () => answerFor(member.self) });
  await expect(join()).rejects.toMatchObject({ name: "WrongCluster" });
});

test.each(["wrong", "usedUp", "expired", "revoked", "version", "nameTaken", "addressTaken"] as const)(
  "a token that is refused as %s gives one line that says what to do",
  async (refused) => {
    await serve({ admit: async () => ({ refused }) });
    await expect(join()).rejects.toMatchObject({ name: "JoinRefused", reason: refused, message: expect.stringMatching(/^[^\n]+: .+$/) });
    expect(refusals).toEqual([[newcomer.self, "127.0.0.1", refused]]);
  },
);

test("a wrong secret is refused, and told of for the audit trail", async () => {
  await serve();
  await expect(join({ ...token, secret: new Uint8Array(32) })).rejects.toMatchObject({ reason: "wrong" });
  expect(refusals).toEqual([[newcomer.self, "127.0.0.1", "wrong"]]);
});

test("a newcomer of a version that may not join is told which may before it tells its token", async () => {
  const seen: unknown[] = [];
  await serve({
    mayJoin: (version) => {
      seen.push(version);
      return "roadstead 0.2.0 or later";
    },
  });
  await expect(join()).rejects.toMatchObject({
    reason: "version",
    message: expect.stringContaining("it takes roadstead 0.2.0 or later; install that"),
  });
  expect([seen, admitted, refusals]).toEqual([[{ program: "0.1.0", schema: 1 }], [], [[newcomer.self, "127.0.0.1", "version"]]]);
});

test("of a name's addresses one that is another cluster's does not hide that the others may yet answer", async () => {
  await serve({ publicKey: generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" }) });
  await expect(join(token, [...member.addresses(), "127.0.0.1:1"])).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await expect(join(token, ["127.0.0.1:1", ...member.addresses()])).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("a cluster without a quorum says so, and that costs no attempt", async () => {
  let quorum = false;
  await serve({
    admit: async (...given) => {
      if (!quorum) throw new OciError("UNAVAILABLE", "no quorum");
      return admit(...given);
    },
  });
  for (let at = 0; at < 12; at += 1) await expect(join()).rejects.toMatchObject({ code: "UNAVAILABLE", message: "no quorum" });
  quorum = true;
  expect(await join()).toMatchObject({ raftId: 7 });
});

test("ten failed attempts from an address close it for a minute, also where they come at once", async () => {
  await serve();
  const wrong = { ...token, secret: new Uint8Array(32) };
  for (let at = 0; at < 9; at += 1) await expect(join(wrong)).rejects.toMatchObject({ reason: "wrong" });
  const reasons = await Promise.all(Array.from({ length: 3 }, () => join(wrong).catch((error: { reason: string }) => error.reason)));
  expect(reasons.sort()).toEqual(["tooManyAttempts", "tooManyAttempts", "wrong"]);
  await expect(join()).rejects.toMatchObject({ reason: "tooManyAttempts" });
  await clock.advance(60_000);
  expect(await join()).toMatchObject({ raftId: 7 });
});

test.each(["usedUp", "expired", "revoked", "version"] as const)(
  "a token that is refused as %s has been proven: it counts as no guess",
  async (refused) => {
    let isGood = false;
    await serve({ admit: async (...given) => (isGood ? admit(...given) : { refused }) });
    for (let at = 0; at < 12; at += 1) await expect(join()).rejects.toMatchObject({ reason: refused });
    isGood = true;
    expect(await join()).toMatchObject({ raftId: 7 });
  },
);

test("no stream of the join protocol stays open", async () => {
  await serve();
  for (let at = 0; at < 9; at += 1) await join({ ...token, secret: new Uint8Array(32) }).catch(() => {});
  await join();
  while (loopback.openStreams("/roadstead/join/1.0.0") > 0) await new Promise((resolve) => setImmediate(resolve));
});

test("G7: one that is out is told so with the cluster's signature, and no other key's word counts", async () => {
  const out: string[] = [];
  await serve({ wasRemoved: (peer) => out.includes(peer) });
  const ask = (key: Uint8Array) => askStanding(newcomer, member.addresses(), { clusterId: "c", publicKey: key }, systemRandom, never);
  expect(await ask(publicKey)).toEqual({ kind: "good" });
  out.push(newcomer.self);
  expect(await ask(publicKey)).toEqual({ kind: "removed" });
  const other = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });
  await expect(ask(other)).rejects.toThrow("does not hold the key of this cluster");
  expect(admitted).toEqual([]);
});

test("one whose cluster was recovered as another is told so with the old cluster's signature, and no other's word counts", async () => {
  const old = generateKeyPairSync("ed25519");
  const by = { clusterId: "old", successor: "c", lastTerm: 3, lastIndex: 70 };
  const signed = { ...by, signature: signSupersession(old.privateKey, by) };
  await serve({ supersession: (clusterId) => (clusterId === "old" ? signed : undefined) });
  const oldKey = old.publicKey.export({ type: "spki", format: "der" });
  const ask = (clusterId: string, key: Uint8Array) =>
    askStanding(newcomer, member.addresses(), { clusterId, publicKey: key }, systemRandom, never);
  expect(await ask("old", oldKey)).toEqual({ kind: "superseded", by, member: false, peer: member.self });
  await expect(ask("old", publicKey)).rejects.toThrow("does not hold the key of this cluster");
  signed.successor = "d";
  await expect(ask("old", oldKey)).rejects.toThrow("does not hold the key of this cluster");
  expect(await ask("c", publicKey)).toEqual({ kind: "good" });
});
