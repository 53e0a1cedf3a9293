import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import { createCatalog } from "../metadata/store-catalog.ts";
import type { ConfState } from "../raft/types.ts";
import { DurableCatalog, type DurableCatalogOptions } from "./catalog-store.ts";
import type { Storage } from "./database.ts";
import { Driver } from "./driver.ts";
import { ConsensusError, type Fatal } from "./errors.ts";
import { heal, restartable } from "./heal.ts";
import type { LogOwner } from "./log-record.ts";
import { DurableRaftLog, type DurableRaftLogOptions } from "./raft-log.ts";
import { reconcile } from "./reconcile.ts";
import { SpaceGuard } from "./space-guard.ts";
import { DEFAULT_TIMING, type Timing } from "./timing.ts";
import type { Boot, Transport } from "./transport.ts";

/** How much log and catalog keep in memory and how long they wait; each left out is as its option says. */
export type StorageLimits = Pick<DurableRaftLogOptions, "tailBytes" | "batchBytes" | "chainBytes"> &
  Pick<DurableCatalogOptions, "cacheBytes" | "writeMs" | "unwrittenBytes" | "syncMs" | "syncEntries" | "sealBytes">;

export interface OpenOptions {
  readonly storage: Storage;
  /** Where it is given, a log of another cluster or node is refused. */
  readonly clusterId?: string;
  /** The cluster that this one was before it was recovered: the catalog may still say so, until a snapshot replaces it. */
  readonly formerCluster?: string | undefined;
  readonly raftId: RaftId;
  /** The other members as this node knows them without its catalog: a damaged one is fetched from one of them. */
  readonly peers?: () => readonly RaftId[];
  /** Makes a new cluster where the log is fresh; a joiner has none and waits for a snapshot of the leader. */
  readonly bootstrap: { readonly voters: readonly RaftId[] } | undefined;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called once with what ends the node: a failed write, a broken invariant, a command that is too new. */
  readonly fatal: Fatal;
  readonly timing?: Partial<Timing>;
  readonly limits?: StorageLimits;
  /** Runs in a later turn of the event loop; `setImmediate` by default. */
  readonly defer?: (run: () => void) => void;
  /** Gives up an opening that is under way. */
  readonly signal?: AbortSignal;
}

/**
 * Opens this node's log and catalog, checks them, and begins to take part. A damaged catalog is set aside and fetched from another member first.
 * @throws ConsensusError folderInUse, foreignFolder, logCorrupt, catalogCorrupt, storage
 */
export async function openConsensus(options: OpenOptions): Promise<Driver> {
  const { storage, clock, fatal, raftId: self } = options;
  let failed: (error: Error) => void = fatal;
  const fail: Fatal = (error) => failed(error);
  const owner = ownerOf(options);
  const nonce = Buffer.from(options.random.bytes(8)).toString("hex");
  const log = await DurableRaftLog.open({ storage, fatal: fail, bootstrap: confOf(options.bootstrap), nonce, ...owner, ...options.limits });
  const transport = restartable(options.transport);
  let store: DurableCatalog | undefined;
  try {
    store = await openCatalog(options, log, fail);
    checkOwner(store, options);
    const boot = { ...log.start, term: log.hardState.term, lastIndex: log.lastIndex() };
    await bringUp(options, log, store, transport, boot);
    await reconcile(log, store, storage.place);
    const driver = new Driver({
      self,
      boot,
      log,
      store,
      transport,
      clock,
      random: options.random,
      logger: options.log,
      timing: { ...DEFAULT_TIMING, ...options.timing },
      defer: options.defer,
      guard: storage.space === undefined ? undefined : new SpaceGuard({ space: storage.space, clock, log: options.log }),
      fatal,
    });
    failed = (error) => driver.fail(error);
    storage.onDamage?.(fail);
    await driver.start();
    return driver;
  } catch (error) {
    await transport.close();
    await store?.close();
    await log.close();
    throw error;
  }
}

/** A damaged catalog is set aside where there is another one to be had: of a member, or made again from a log that reaches back to the beginning. */
async function openCatalog(options: OpenOptions, log: DurableRaftLog, fatal: Fatal): Promise<DurableCatalog> {
  const { storage, clock, log: logger, peers, limits } = options;
  const initial = log.bootstrap === undefined ? {} : { initial: log.bootstrap };
  const open = () => DurableCatalog.open({ storage, clock, fatal, ...limits, ...initial, ...ownerOf(options) });
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof ConsensusError) || error.code !== "catalogCorrupt" || storage.setCatalogAside === undefined) throw error;
    const replayable = log.base.index <= (log.bootstrap?.index ?? 0);
    if (!replayable && (peers?.().length ?? 0) === 0) throw alone(error.message, storage.place);
    const aside = await storage.setCatalogAside();
    const source = replayable ? "it is made again from the log" : "it is fetched from another member before this node takes part";
    logger.warn({ reason: error.message, aside }, `the catalog is damaged and was set aside: ${source}`);
    return open();
  }
}

/** One that nobody has put a name to tells of its cluster all the same, by what stands in it. */
function checkOwner(store: DurableCatalog, { clusterId, formerCluster, raftId, storage: { place } }: OpenOptions): void {
  if (clusterId === undefined) return;
  const told = createCatalog(store).cluster()?.clusterId ?? clusterId;
  const cluster = told === formerCluster ? clusterId : told;
  const found = store.owner ?? { clusterId, raftId };
  if (cluster === clusterId && found.clusterId === clusterId && found.raftId === raftId) return;
  const [of, but] =
    cluster === clusterId
      ? [`node ${found.raftId} of the cluster ${found.clusterId}`, `node ${raftId} of the cluster ${clusterId}`]
      : [`the cluster ${cluster}`, `the cluster ${clusterId}`];
  const message = `The catalog in ${place} is of ${of}, but the folder is of ${but}: parts of two data folders were mixed. Put back the catalog as it was, or take ${place}/catalog away: then it is fetched from another member.`;
  throw new ConsensusError("foreignFolder", message, { folder: place, found: found.raftId, wanted: raftId });
}

function ownerOf({ clusterId, raftId }: OpenOptions): { readonly owner?: LogOwner } {
  return clusterId === undefined ? {} : { owner: { clusterId, raftId } };
}

async function bringUp(options: OpenOptions, log: DurableRaftLog, store: DurableCatalog, transport: Transport, boot: Boot): Promise<void> {
  const { raftId: self, clock, log: logger, signal = new AbortController().signal, peers, storage } = options;
  const atLeast = log.base.index;
  if (store.appliedIndex >= atLeast || peers === undefined) return;
  const behind = `The catalog in ${storage.place} is at entry ${store.appliedIndex}, but the log begins after ${atLeast}.`;
  if (peers().length === 0) throw alone(behind, storage.place);
  logger.warn({ applied: store.appliedIndex, atLeast }, "the catalog is behind what the log holds: it is fetched from another member");
  await heal({ self, boot, store, transport, clock, log: logger, peers, atLeast, signal });
}

function alone(reason: string, place: string): ConsensusError {
  const message = `${reason} No other member is known that could send its catalog, and the log does not reach back to the beginning: this node was the only one, or its node.json is too old to name the others. Restore the folder ${place} from a backup.`;
  return new ConsensusError("catalogCorrupt", message, { folder: place });
}

function confOf(bootstrap: OpenOptions["bootstrap"]): ConfState | undefined {
  if (bootstrap === undefined) return undefined;
  return { voters: [...bootstrap.voters].sort((a, b) => a - b), votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}
