import { expect, test } from "vitest";
import type { PeerId } from "../core/peer.ts";
import { memberOf } from "./join.ts";

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
