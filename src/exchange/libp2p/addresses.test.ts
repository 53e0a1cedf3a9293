import { expect, test } from "vitest";
import { announced, hostOf, peerOf, toMultiaddr, withoutPeer, withPeer } from "./addresses.ts";

test.each([
  ["127.0.0.1:5101", "/ip4/127.0.0.1/tcp/5101"],
  ["0.0.0.0:0", "/ip4/0.0.0.0/tcp/0"],
  ["[::]:5101", "/ip6/::/tcp/5101"],
  ["[2001:db8::1]:80", "/ip6/2001:db8::1/tcp/80"],
  ["node-1.example:5101", "/dns/node-1.example/tcp/5101"],
  ["/ip4/192.0.2.7/tcp/1", "/ip4/192.0.2.7/tcp/1"],
])("%s is the multiaddr %s", (text, address) => {
  expect(toMultiaddr(text)).toBe(address);
});

test.each(["", "127.0.0.1", "host:", "host:70000", "::1:5000", "[nonsense]:1", "/ip4/1.2.3/tcp/1", "a b:5"])(
  "%j is no address of a peer",
  (text) => {
    expect(() => toMultiaddr(text)).toThrow(/no address of a peer/);
  },
);

test("what others are told has neither wildcards nor loopback, unless there is nothing else", () => {
  expect(announced(["/ip4/127.0.0.1/tcp/1/p2p/x", "/ip4/10.0.0.5/tcp/1/p2p/x", "/ip6/::/tcp/1"], [])).toEqual(["/ip4/10.0.0.5/tcp/1"]);
  expect(announced(["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"], [])).toEqual(["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"]);
});

test("an operator's address takes the place of all, with the port that is listened on where it names none", () => {
  const bound = ["/ip4/10.0.0.5/tcp/5101"];
  expect(announced(bound, ["198.51.100.1", "2001:db8::1", "registry.example:9", "/dns4/a.example/tcp/7"])).toEqual([
    "/ip4/198.51.100.1/tcp/5101",
    "/ip6/2001:db8::1/tcp/5101",
    "/dns/registry.example/tcp/9",
    "/dns4/a.example/tcp/7",
  ]);
});

test("the peer id is put behind an address once, found there, and taken off", () => {
  expect(withPeer("/ip4/10.0.0.5/tcp/1", "p")).toBe("/ip4/10.0.0.5/tcp/1/p2p/p");
  expect(withPeer("/ip4/10.0.0.5/tcp/1/p2p/p", "p")).toBe("/ip4/10.0.0.5/tcp/1/p2p/p");
  expect(peerOf("/ip4/10.0.0.5/tcp/1/p2p/p")).toBe("p");
  expect(withoutPeer("/ip4/10.0.0.5/tcp/1/p2p/p")).toBe("/ip4/10.0.0.5/tcp/1");
  expect(hostOf("/ip4/10.0.0.5/tcp/1")).toBe("10.0.0.5");
});
