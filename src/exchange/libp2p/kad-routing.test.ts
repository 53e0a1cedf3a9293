import { afterEach, beforeEach, expect, test } from "vitest";
import { type Digest, digestOf } from "../../core/digest.ts";
import { silentLog } from "../../core/log.ts";
import type { PeerId } from "../../core/peer.ts";
import { ManualClock, settle } from "../manual-clock.conformance.ts";
import { Channel } from "./channel.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Host } from "./host.ts";
import { createKadRouting, KAD_PROTOCOL, type KadRouting } from "./kad-routing.ts";

const never = new AbortController().signal;
const blob = digestOf(new TextEncoder().encode("a blob"));

let clock: ManualClock;
let loopback: Loopback;
let routings: KadRouting[];
beforeEach(() => {
  clock = new ManualClock();
  loopback = new Loopback();
  routings = [];
});
afterEach(async () => {
  await Promise.all(routings.map((routing) => routing.stop()));
  await loopback.close();
});

async function node(options: { member?: boolean } = {}): Promise<{ host: Host; routing: KadRouting }> {
  const host = await loopback.host(options);
  const routing = createKadRouting({ host, clock, members: () => [...loopback.members], log: silentLog, loadAfterMs: 0 });
  routings.push(routing);
  return { host, routing };
}

function nodes(count: number): Promise<{ host: Host; routing: KadRouting }[]> {
  return Promise.all(Array.from({ length: count }, () => node()));
}

async function found(routing: KadRouting, digest: Digest): Promise<readonly PeerId[]> {
  const peers: PeerId[] = [];
  for await (const peer of routing.find(digest, never)) peers.push(peer);
  await settle(); // asked again and again, it would keep what is under way from coming about
  return peers;
}

/** Announced again until the others know of it: they may just be starting. */
async function announced(by: KadRouting, digest: Digest, to: readonly KadRouting[]): Promise<void> {
  for (const routing of to) while ((await found(routing, digest)).length === 0) await by.provide(digest, never);
}

test("a copy that one announces is found by the others, and not by itself", async () => {
  const [a, b, c] = await nodes(3);
  await announced(a!.routing, blob, [b!.routing, c!.routing]);
  expect(await found(b!.routing, blob)).toEqual([a!.host.self]);
  expect(await found(c!.routing, blob)).toEqual([a!.host.self]);
  expect(await found(a!.routing, blob)).toEqual([]);
  expect(await found(b!.routing, digestOf(new Uint8Array(1)))).toEqual([]);
});

test("what several announce is all found, also a blob named by its sha512", async () => {
  const [a, b, c] = await nodes(3);
  const digest = `sha512:${"ab".repeat(64)}` as Digest;
  await announced(a!.routing, digest, [c!.routing]);
  while ((await found(c!.routing, digest)).length < 2) await b!.routing.provide(digest, never);
  expect(new Set(await found(c!.routing, digest))).toEqual(new Set([a!.host.self, b!.host.self]));
});

test("an announcement ends with its time, and one that is repeated goes on", async () => {
  const [a, b] = await nodes(2);
  const other = digestOf(new Uint8Array(2));
  await announced(a!.routing, blob, [b!.routing]);
  await announced(a!.routing, other, [b!.routing]);
  await clock.advance(40 * 60_000);
  await a!.routing.provide(other, never);
  await clock.advance(20 * 60_000);
  expect(await found(b!.routing, blob)).toEqual([]);
  expect(await found(b!.routing, other)).toEqual([a!.host.self]);
});

test("a node that keeps no record of it any more asks the others", async () => {
  const [a, b] = await nodes(2);
  await announced(a!.routing, blob, [b!.routing]);
  const late = await node();
  while ((await found(late.routing, blob)).length === 0); // its table fills once it is connected
  expect(await found(late.routing, blob)).toEqual([a!.host.self]);
});

test("G7: a stranger is not answered, and what it has told as a member is not handed on", async () => {
  const [a, b, leaver] = await nodes(3);
  await announced(a!.routing, blob, [b!.routing]);
  await announced(leaver!.routing, blob, [a!.routing]);
  while ((await found(b!.routing, blob)).length < 2) await leaver!.routing.provide(blob, never);
  await leaver!.routing.provide(blob, never); // all know each other by now: b keeps its word itself too
  loopback.members.delete(leaver!.host.self);
  expect(await found(b!.routing, blob)).toEqual([a!.host.self]);
  const { stream } = await leaver!.host.dialStranger(b!.host.addresses(), KAD_PROTOCOL, never);
  await expect(new Channel(stream).read()).rejects.toThrow();
});
