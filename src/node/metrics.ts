import type { BlobStore } from "../blobs/blob-store.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { MetricSource } from "../http/metrics.ts";

/** What `/metrics` shows of this node, read when it is scraped. */
export function metricSource(consensus: Consensus, blobs: BlobStore, exchange: Exchange): MetricSource {
  return {
    sample() {
      const { term, commitIndex, appliedIndex, role, elections, cutOff } = consensus.status();
      const usage = blobs.usage();
      return {
        raftTerm: term,
        commitIndex,
        appliedIndex,
        role,
        elections,
        cutOff,
        blobs: usage.blobs,
        blobBytes: usage.sizeBytes,
        peers: exchange.peers().filter((peer) => peer.connected).length,
        members: consensus.catalog.members().length,
      };
    },
  };
}
