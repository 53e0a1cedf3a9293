import { afterAll, expect } from "vitest";
import { HashPool } from "../../blobs/disk/hash-pool.ts";
import { describeExchange } from "../exchange.conformance.ts";
import { Loopback } from "./cluster.conformance.ts";

/** Some pieces come before it has started: they are hashed on the event loop. */
const pool = new HashPool({ threads: 1 });
let hashedByThread = 0;

/** Cached copies are told at once and again and again: whoever has just started hears of them soon. */
const ANNOUNCES = { isUnrecorded: () => true, announcements: { periodMs: 50, refreshMs: 200 } };

describeExchange("the exchange over libp2p", async (blobs, onBadCopy) => {
  const loopback = new Loopback();
  const startHash = () => {
    const hash = pool.sharedHash();
    if (hash !== undefined) hashedByThread += 1;
    return hash;
  };
  const exchanges = await Promise.all(blobs.map((local) => loopback.exchange(local, onBadCopy, {}, startHash, ANNOUNCES)));
  return {
    nodes: exchanges.map((exchange, index) => ({ exchange, blobs: blobs[index]! })),
    cut: (index) => loopback.hosts.find((host) => host.self === exchanges[index]!.self)!.stop(),
    close: () => loopback.close(),
  };
});

afterAll(async () => {
  await pool.close();
  expect(hashedByThread).toBeGreaterThan(0);
});
