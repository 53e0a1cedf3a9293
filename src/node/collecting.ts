import type { DiskBlobStore } from "../blobs/disk/blob-store.ts";
import { Collector } from "../upkeep/collector.ts";
import { startDisposing } from "../upkeep/dispose.ts";
import { startReclaiming } from "../upkeep/reclaim.ts";
import type { Foundation } from "./services.ts";

/** The garbage collector of this node: its runs, what it unlinks here, and, where it leads, the end of what was condemned. */
export function startCollecting({ config, consensus, clock, stack, ...base }: Foundation, blobs: DiskBlobStore): Collector {
  const log = base.log.child({ part: "gc" });
  const parts = [
    startDisposing({ consensus, blobs, clock, log, rateBytes: config["gc.rate"] }),
    startReclaiming({ consensus, membership: consensus, clock, log }),
  ];
  const collector = new Collector({ consensus, membership: consensus, everyMs: config["gc.every"], clock, log });
  for (const part of [...parts, collector]) {
    stack.defer(async () => {
      part.stop();
      await part.idle();
    });
  }
  return collector;
}
