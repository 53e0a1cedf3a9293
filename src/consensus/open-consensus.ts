import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { ConfState } from "../raft/types.ts";
import { DurableCatalog } from "./catalog-store.ts";
import type { Storage } from "./database.ts";
import { Driver } from "./driver.ts";
import type { Fatal } from "./errors.ts";
import { DurableRaftLog } from "./raft-log.ts";
import { reconcile } from "./reconcile.ts";
import { DEFAULT_TIMING, type Timing } from "./timing.ts";
import type { Transport } from "./transport.ts";

export interface OpenOptions {
  readonly storage: Storage;
  readonly raftId: RaftId;
  /** Makes a new cluster where the log is fresh; a joiner has none and waits for a snapshot of the leader. */
  readonly bootstrap: { readonly voters: readonly RaftId[] } | undefined;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called once with what ends the node: a failed write, a broken invariant, a command that is too new. */
  readonly fatal: Fatal;
  readonly timing?: Partial<Timing>;
  /** Runs in a later turn of the event loop; `setImmediate` by default. */
  readonly defer?: (run: () => void) => void;
}

/**
 * Opens this node's log and catalog, checks them, and begins to take part.
 * @throws ConsensusError folderInUse, logCorrupt, catalogCorrupt, storage
 */
export async function openConsensus(options: OpenOptions): Promise<Driver> {
  const { storage, clock, fatal, raftId: self } = options;
  let failed: (error: Error) => void = fatal;
  const fail: Fatal = (error) => failed(error);
  const log = await DurableRaftLog.open({ storage, fatal: fail, bootstrap: confOf(options.bootstrap) });
  let store: DurableCatalog | undefined;
  try {
    store = await DurableCatalog.open({
      storage,
      clock,
      fatal: fail,
      ...(log.bootstrap === undefined ? {} : { initial: log.bootstrap }),
    });
    await reconcile(log, store, storage.place);
    const nonce = Buffer.from(options.random.bytes(8)).toString("hex");
    const boot = { incarnation: log.incarnation, nonce, term: log.hardState.term, lastIndex: log.lastIndex() };
    const driver = new Driver({
      self,
      boot,
      log,
      store,
      transport: options.transport,
      clock,
      random: options.random,
      logger: options.log,
      timing: { ...DEFAULT_TIMING, ...options.timing },
      defer: options.defer,
      fatal,
    });
    failed = (error) => driver.fail(error);
    await driver.start();
    return driver;
  } catch (error) {
    await store?.close();
    await log.close();
    throw error;
  }
}

function confOf(bootstrap: OpenOptions["bootstrap"]): ConfState | undefined {
  if (bootstrap === undefined) return undefined;
  return { voters: [...bootstrap.voters].sort((a, b) => a - b), votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}
