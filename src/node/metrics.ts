import type { DiskBlobStore } from "../blobs/disk/blob-store.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { MetricSource } from "../http/metrics.ts";
import type { Upkeep } from "./upkeep.ts";

/** What `/metrics` shows of this node, read when it is scraped. */
export function metricSource(
  consensus: Consensus,
  blobs: Pick<DiskBlobStore, "usage" | "reserve" | "quarantined">,
  exchange: Exchange,
  { repair, rebalance, scrub }: Upkeep,
): MetricSource {
  return {
    async sample() {
      const { term, commitIndex, appliedIndex, role, elections, cutOff, turnedAway } = consensus.status();
      const usage = blobs.usage();
      const disk = await blobs.reserve.state();
      return {
        raftTerm: term,
        commitIndex,
        appliedIndex,
        role,
        elections,
        cutOff,
        blobs: usage.blobs,
        blobBytes: usage.sizeBytes,
        diskFreeBytes: disk.freeBytes,
        diskReserveBytes: disk.reserveBytes,
        diskLow: disk.low !== "no",
        peers: exchange.peers().filter((peer) => peer.connected).length,
        underReplicated: repair.shortage.amount,
        moving: rebalance.amount,
        quarantined: await blobs.quarantined(),
        repairedBytes: repair.meter.totalBytes,
        movedBytes: rebalance.meter.totalBytes,
        scrub: scrub.status(),
        members: consensus.catalog.members().length,
        raftTurnedAway: turnedAway ?? {},
      };
    },
  };
}
