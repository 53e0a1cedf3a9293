import type { DiskBlobStore } from "../blobs/disk/blob-store.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Audit } from "../upkeep/audit.ts";
import { startDraining } from "../upkeep/drain.ts";
import { Rebalance } from "../upkeep/rebalance.ts";
import { Repair } from "../upkeep/repair.ts";
import { Scrub } from "../upkeep/scrub.ts";
import { startSettling } from "../upkeep/settle.ts";
import { startSweeping } from "../upkeep/sweep.ts";
import { scrubFile } from "./scrub-file.ts";
import type { Foundation } from "./services.ts";

export interface Upkeep {
  readonly repair: Repair;
  readonly scrub: Scrub;
  readonly rebalance: Rebalance;
}

interface Loop {
  stop(): void;
  idle(): Promise<void>;
}

/** The loops that keep this node's bytes as the catalog says, and the catalog's copies as many as there are to be, where they are to be. */
export function startUpkeep(base: Foundation, blobs: DiskBlobStore, exchange: Exchange, audit: Audit): Upkeep {
  const { config, consensus, clock, random, stack, stopping } = base;
  const log = base.log.child({ part: "upkeep" });
  const self = { peerId: base.facts.peerId, raftId: base.state.raftId };
  const copies = config["durability.copies"];
  const keep = <T extends Loop>(loop: T): T => {
    stack.defer(async () => {
      loop.stop();
      await loop.idle();
    });
    return loop;
  };
  keep(startSettling({ consensus, blobs, self: self.raftId, clock, log }));
  // What was pushed a moment ago waits for that alone; after a restart nobody would hear its outcome again.
  stack.defer(() => consensus.sync().catch(() => undefined)); // where nothing can be written any more, the pins stand
  keep(startDraining({ consensus, self: self.raftId, copies, clock, log }));
  const sweeping = keep(startSweeping({ consensus, blobs, clock, log }));
  const spreading = { consensus, exchange, clock, log, copies, stopping };
  const repairing = { repairAfterMs: config["durability.repairAfter"], deadlineMs: config["http.deadline"] };
  const repair = keep(new Repair({ ...spreading, ...repairing, blobs, random, self, audit }));
  const rate = { bytesPerSecond: config["durability.moveRate"] };
  const rebalance = keep(new Rebalance({ ...spreading, ...rate, blobs, repair, self: self.raftId }));
  const scrubbing = { everyMs: config["durability.scrubEvery"], bytesPerSecondMax: config["durability.scrubRate"] };
  const scrub = keep(
    new Scrub({
      ...{ ...scrubbing, consensus, blobs, clock, log, self: self.raftId, memory: scrubFile(base.data) },
      reportBad: (digest) => repair.reportBad(digest),
      sweep: () => sweeping.wake(),
    }),
  );
  return { repair, rebalance, scrub };
}
