import { parsePeerId } from "../core/peer.ts";
import { describeExchange } from "./exchange.conformance.ts";
import { createMemoryHub } from "./memory.ts";

describeExchange("the exchange in memory", async (blobs, onBadCopy) => {
  const hub = createMemoryHub({ onBadCopy, limits: { hedgeMs: 60_000, stallMs: 60_000 } });
  const peers = blobs.map((_, index) => parsePeerId(`12D3KooW${"abcdefghij"[index]!.repeat(44)}`)!);
  const nodes = blobs.map((local, index) => ({ exchange: hub.connect(peers[index]!, local), blobs: local }));
  return { nodes, cut: async (index) => hub.cut(peers[index]!), close: async () => {} };
});
