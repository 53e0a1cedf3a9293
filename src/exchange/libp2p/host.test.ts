import { PING_PROTOCOL } from "@libp2p/ping";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../core/clock.ts";
import { ManualClock } from "../manual-clock.conformance.ts";
import { TestBlobs } from "../test-blobs.conformance.ts";
import { Channel } from "./channel.ts";
import { Loopback } from "./cluster.conformance.ts";
import type { Host } from "./host.ts";
import { BLOB_PROTOCOL, UPLOAD_PROTOCOL } from "./wire.ts";

const never = new AbortController().signal;
const ECHO = "/roadstead/test/1.0.0";
let loopback = new Loopback();
afterEach(async () => {
  await loopback.close();
  loopback = new Loopback();
});

async function echo(host: Host, openToStrangers = false): Promise<void> {
  await host.handle(
    ECHO,
    async (stream) => {
      const channel = new Channel(stream);
      await channel.writeFrame(await channel.readFrame(1_000_000));
      await channel.end(systemClock);
    },
    { openToStrangers },
  );
}

async function say(from: Host, to: Host, what: unknown): Promise<unknown> {
  const channel = new Channel(await from.dial(to.self, ECHO, never));
  await channel.writeFrame(what);
  const answer = await channel.readFrame(1_000_000);
  await channel.end(systemClock);
  return answer;
}

test("two members speak, over IPv4 and over IPv6, encrypted by tls", async () => {
  const ipv4 = await loopback.host();
  const ipv6 = await loopback.host({ listen: ["[::1]:0"] });
  await echo(ipv4);
  await echo(ipv6);
  expect(await say(ipv4, ipv6, { a: [1, "b"] })).toEqual({ a: [1, "b"] });
  expect(ipv6.addresses()[0]).toMatch(/^\/ip6\/::1\/tcp\/\d+$/);
  expect(ipv4.connection(ipv6.self)?.encryption).toBe("/tls/1.0.0");
});

test("a wildcard is never announced", async () => {
  const host = await loopback.host({ listen: ["0.0.0.0:0", "[::]:0"] });
  expect(host.addresses().length).toBeGreaterThan(0);
  expect(host.addresses().filter((address) => address.includes("/0.0.0.0/") || address.includes("/ip6/::/"))).toEqual([]);
});

test("an address that is taken fails the start with a line that says what to do", async () => {
  const host = await loopback.host();
  const port = /tcp\/(\d+)/.exec(host.addresses()[0]!)![1];
  await expect(loopback.host({ listen: [`127.0.0.1:${port}`] })).rejects.toThrow(/--p2p/);
});

test("a peer that is no member is not dialled", async () => {
  const member = await loopback.host();
  const other = await loopback.host({ member: false });
  await expect(member.dial(other.self, ECHO, never)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("G7: a stranger is refused on every protocol but the one that is open to it", async () => {
  const exchange = await loopback.exchange(new TestBlobs());
  const member = loopback.hosts[0]!;
  await echo(member);
  const OPEN = "/roadstead/open/1.0.0";
  await member.handle(OPEN, async (stream) => void (await new Channel(stream).writeFrame("welcome")), { openToStrangers: true });
  const stranger = await loopback.host({ member: false });
  expect(exchange.self).toBe(member.self);
  for (const protocol of [BLOB_PROTOCOL, UPLOAD_PROTOCOL, ECHO]) {
    const { stream } = await stranger.dialStranger(member.addresses(), protocol, never);
    const channel = new Channel(stream);
    await expect(
      channel
        .writeFrame({ op: "get", digest: `sha256:${"0".repeat(64)}`, start: 0, end: 1, list: true })
        .then(() => channel.readFrame(1000)),
    ).rejects.toThrow();
  }
  const { stream } = await stranger.dialStranger(member.addresses(), OPEN, never);
  const channel = new Channel(stream);
  expect(await channel.readFrame(1000)).toBe("welcome");
  channel.abort(new Error("done"));
});

test("G7: handlers that are registered at the node itself are guarded by memberHandler", async () => {
  const member = await loopback.host();
  let reached = 0;
  await member.node.handle(
    ECHO,
    member.memberHandler(() => {
      reached += 1;
    }),
  );
  const stranger = await loopback.host({ member: false });
  const { stream } = await stranger.dialStranger(member.addresses(), ECHO, never);
  await expect(new Channel(stream).read()).rejects.toThrow();
  expect(reached).toBe(0);
  const friend = await loopback.host();
  (await friend.dial(member.self, ECHO, never)).abort(new Error("done"));
});

test("G7: a ping is answered to members alone", async () => {
  const member = await loopback.host();
  const friend = await loopback.host();
  (await friend.dial(member.self, PING_PROTOCOL, never)).abort(new Error("done"));
  expect(await friend.node.services.ping.ping(member.node.peerId)).toBeGreaterThanOrEqual(0);
  const stranger = await loopback.host({ member: false });
  const { stream } = await stranger.dialStranger(member.addresses(), PING_PROTOCOL, never);
  await expect(new Channel(stream).read()).rejects.toThrow();
  await expect(stranger.dialStranger(member.addresses(), "/ipfs/id/1.0.0", never)).rejects.toThrow();
});

test("G7: the connection of a stranger ends at the deadline, that of one who became a member stays", async () => {
  const clock = new ManualClock();
  const member = await loopback.host({ clock, strangers: { deadlineMs: 1_000 } });
  await echo(member, true);
  const [stranger, newcomer] = [await loopback.host({ member: false }), await loopback.host({ member: false })];
  await stranger.dialStranger(member.addresses(), ECHO, never);
  await newcomer.dialStranger(member.addresses(), ECHO, never);
  const ended = new Promise((resolve) => stranger.node.addEventListener("connection:close", resolve));
  loopback.members.add(newcomer.self);
  await clock.advance(1_000);
  await ended;
  expect(member.connection(stranger.self)).toBeUndefined();
  expect(member.connection(newcomer.self)).toBeDefined();
});

test("G7: there is room for so many strangers, and members come in all the same", async () => {
  const member = await loopback.host({ strangers: { connectionsMax: 1 } });
  await echo(member, true);
  const [first, second, friend] = [await loopback.host({ member: false }), await loopback.host({ member: false }), await loopback.host()];
  await first.dialStranger(member.addresses(), ECHO, never);
  await expect(second.dialStranger(member.addresses(), ECHO, never)).rejects.toThrow();
  expect(await say(friend, member, 1)).toBe(1);
});

test("G7: a member that was removed loses its connection at once, and its next stream is refused", async () => {
  const member = await loopback.host();
  const removed = await loopback.host();
  await echo(member);
  expect(await say(removed, member, 1)).toBe(1);
  loopback.members.delete(removed.self);
  const ended = new Promise((resolve) => removed.node.addEventListener("connection:close", resolve));
  member.membershipChanged();
  await ended;
  loopback.members.add(removed.self);
  expect(await say(removed, member, 2)).toBe(2);
});

test("a connection that has ended is made anew by the next dial", async () => {
  const [a, b] = [await loopback.host(), await loopback.host()];
  await echo(b);
  expect(await say(a, b, 1)).toBe(1);
  a.connection(b.self)!.abort(new Error("cable pulled"));
  expect(await say(a, b, 2)).toBe(2);
});

test("300 streams one after the other and 60 at once leave none open", async () => {
  const [a, b] = [await loopback.host(), await loopback.host()];
  await echo(b);
  for (let at = 0; at < 300; at += 1) expect(await say(a, b, at)).toBe(at);
  await Promise.all(Array.from({ length: 60 }, async (_, at) => expect(await say(a, b, at)).toBe(at)));
  while (loopback.openStreams(ECHO) > 0) await new Promise((resolve) => setImmediate(resolve)); // closing crosses the wire
});
