import type { DiskBlobStore } from "../blobs/disk/blob-store.ts";
import type { Audit } from "../upkeep/audit.ts";
import { Collector } from "../upkeep/collector.ts";
import { startDisposing } from "../upkeep/dispose.ts";
import { startReclaiming } from "../upkeep/reclaim.ts";
import { type DiskFindings, verifyDisk } from "../upkeep/verify-disk.ts";
import type { Foundation } from "./services.ts";
import { Verification } from "./verification.ts";
import { serveVerify } from "./verify-protocol.ts";

export interface Collecting {
  readonly collector: Collector;
  readonly verification: Verification;
}

/** The garbage collector of this node: its runs, what it unlinks here, where it leads the end of what was condemned, and the proof that nothing is wrong. */
export async function startCollecting(base: Foundation, blobs: DiskBlobStore, audit: Audit): Promise<Collecting> {
  const { config, consensus, host, clock, stack } = base;
  const log = base.log.child({ part: "gc" });
  const disk = (signal: AbortSignal): Promise<DiskFindings> => verifyDisk({ consensus, blobs }, signal);
  await serveVerify(host, clock, disk);
  const collector = new Collector({ consensus, membership: consensus, everyMs: config["gc.every"], clock, log });
  const verification = new Verification({ consensus, host, verifyDisk: disk, audit, everyMs: config["gc.verifyEvery"], clock, log });
  const parts = [
    startDisposing({ consensus, blobs, clock, log, rateBytes: config["gc.rate"] }),
    startReclaiming({ consensus, membership: consensus, clock, log }),
  ];
  for (const part of [...parts, collector, verification]) {
    stack.defer(async () => {
      part.stop();
      await part.idle();
    });
  }
  return { collector, verification };
}
