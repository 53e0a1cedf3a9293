import { describeExchange } from "../exchange.conformance.ts";
import { Loopback } from "./cluster.conformance.ts";

describeExchange("the exchange over libp2p", async (blobs, onBadCopy) => {
  const loopback = new Loopback();
  const exchanges = await Promise.all(blobs.map((local) => loopback.exchange(local, onBadCopy)));
  return {
    nodes: exchanges.map((exchange, index) => ({ exchange, blobs: blobs[index]! })),
    cut: (index) => loopback.hosts.find((host) => host.self === exchanges[index]!.self)!.stop(),
    close: () => loopback.close(),
  };
});
