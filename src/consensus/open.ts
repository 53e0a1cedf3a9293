import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import type { ConfState } from "../raft/types.ts";
import { Driver } from "./driver.ts";
import { ConsensusError, type Fatal } from "./errors.ts";
import { LevelCatalogStore } from "./level/catalog-store.ts";
import { LevelRaftLog } from "./level/raft-log.ts";
import type { AppliedStore, RaftLog } from "./store.ts";
import { DEFAULT_TIMING, type Timing } from "./timing.ts";
import type { Transport } from "./transport.ts";

export interface OpenOptions {
  /** `raft/` and `catalog/` are made in it. */
  readonly folder: string;
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
}

/**
 * Opens this node's log and catalog, checks them, and begins to take part.
 * @throws ConsensusError folderInUse, logCorrupt, catalogCorrupt, storage
 */
export async function openConsensus(options: OpenOptions): Promise<Driver> {
  const { folder, clock, fatal, raftId: self } = options;
  let failed: (error: Error) => void = fatal;
  const fail: Fatal = (error) => failed(error);
  const log = await LevelRaftLog.open({ folder: join(folder, "raft"), fatal: fail, bootstrap: confOf(options.bootstrap) });
  let store: LevelCatalogStore | undefined;
  try {
    store = await LevelCatalogStore.open({
      folder: join(folder, "catalog"),
      clock,
      fatal: fail,
      ...(log.bootstrap === undefined ? {} : { initial: log.bootstrap }),
    });
    await reconcile(log, store, folder);
    const driver = new Driver({
      self,
      log,
      store,
      transport: options.transport,
      clock,
      random: options.random,
      logger: options.log,
      timing: { ...DEFAULT_TIMING, ...options.timing },
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

/** Log and catalog are written apart: a crash may leave one ahead of the other, and only in the ways that are mended here. */
export async function reconcile(log: RaftLog, store: AppliedStore, folder: string): Promise<void> {
  const { appliedIndex: applied, appliedTerm } = store;
  if (applied < log.base.index) {
    const message = `The catalog in ${folder} is at entry ${applied}, but the log begins after ${log.base.index}. It must be reinstalled from a snapshot of another member.`;
    throw new ConsensusError("catalogCorrupt", message, { applied, base: log.base.index });
  }
  if (applied <= log.lastIndex() && log.term(applied) === appliedTerm) return;
  // A snapshot was installed, and the crash came before the log was told.
  if (store.installedIndex === applied) {
    await log.append({ hardState: undefined, snapshot: { index: applied, term: appliedTerm, confState: store.confState }, entries: [] });
    return;
  }
  const message = `The Raft log in ${folder} lacks the entry ${applied}, which the catalog has applied: writes were lost. This node must not vote with it. Replace the node: remove it, and join with an empty folder.`;
  throw new ConsensusError("logCorrupt", message, { applied, last: log.lastIndex() });
}

function confOf(bootstrap: OpenOptions["bootstrap"]): ConfState | undefined {
  if (bootstrap === undefined) return undefined;
  return { voters: [...bootstrap.voters].sort((a, b) => a - b), votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}
