import type { Clock } from "../core/clock.ts";
import type { RaftId } from "../core/peer.ts";
import type { Random } from "../core/random.ts";
import { ApplyBatch } from "../metadata/apply-entry.ts";
import type { ClusterCommand } from "../metadata/commands.ts";
import { encodeEnvelope, stampEntry } from "../metadata/entry.ts";
import { createCatalog } from "../metadata/store-catalog.ts";
import type { ConfState } from "../raft/types.ts";
import { DurableCatalog } from "./catalog-store.ts";
import { commandVersion } from "./command-version.ts";
import type { Storage } from "./database.ts";
import { ConsensusError } from "./errors.ts";
import type { LogOwner } from "./log-record.ts";
import { DurableRaftLog } from "./raft-log.ts";

export interface Rewrite {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly random: Random;
  /** The cluster that log and catalog are of, and whose they are to be. */
  readonly formerCluster: string;
  readonly owner: LogOwner;
  /** Of the new group's beginning, above every term of the old one. */
  readonly term: number;
}

export type RecoverCommand = Extract<ClusterCommand, { type: "cluster.recover" }>;

/** So many bytes of the log are applied in one batch. */
const BATCH_BYTES = 8 * 2 ** 20;

/**
 * Makes the log of a survivor, all of it, the beginning of a new group in which this node alone votes, offline. What was acknowledged may have been committed by
 * members that are lost, so the whole log is taken for committed (G1). To do it again, after a crash at any point, does what was left.
 * @param commandAfter what is applied right after the last entry, which had this term and index
 * @param principal who ordered it, for the chain (G9)
 * @throws ConsensusError where log or catalog are damaged
 */
export function rewriteAsLeader(
  rewrite: Rewrite,
  commandAfter: (term: number, index: number) => RecoverCommand,
  principal: string,
): Promise<void> {
  return withFolder(rewrite, async (log, store) => {
    const { owner, storage } = rewrite;
    const confState = soleVoter(owner.raftId);
    if (createCatalog(store).cluster()?.clusterId !== owner.clusterId) {
      await applyWhole(log, store, storage.place);
      const command = commandAfter(store.appliedTerm, store.appliedIndex);
      const term = Math.max(rewrite.term, log.hardState.term + 1);
      await applyRecovery(store, command, { term, confState, principal, place: storage.place });
    }
    const { appliedIndex: index, appliedTerm: term } = store;
    await log.append({ hardState: { term, vote: 0, commit: index }, snapshot: { index, term, confState }, entries: [] });
  });
}

/**
 * Makes this node one that waits for a snapshot of the new group, offline. What has applied here was committed, so it is served until then, as by a node that is
 * cut off (G3). What is in the log beyond that is given up: the leader's log has what counts of it.
 * @param voter of the new group, whom this node waits for
 * @throws ConsensusError where log or catalog are damaged
 */
export function rewriteAsFollower(rewrite: Rewrite, voter: RaftId): Promise<void> {
  return withFolder(rewrite, async (log, store) => {
    const confState = soleVoter(voter);
    await store.moveToGroup(confState);
    const { appliedIndex: index, appliedTerm: term } = store;
    const hardState = { term: Math.max(rewrite.term, term), vote: 0, commit: index };
    await log.append({ hardState, snapshot: { index, term, confState }, entries: [] });
  });
}

async function withFolder(
  { storage, clock, random, formerCluster, owner }: Rewrite,
  run: (log: DurableRaftLog, store: DurableCatalog) => Promise<void>,
): Promise<void> {
  const nonce = Buffer.from(random.bytes(8)).toString("hex");
  const common = { storage, owner, formerCluster, fatal: () => undefined }; // a write that failed rejects as well
  const log = await DurableRaftLog.open({ ...common, bootstrap: undefined, nonce });
  try {
    const initial = log.bootstrap === undefined ? {} : { initial: log.bootstrap };
    const store = await DurableCatalog.open({ ...common, clock, ...initial });
    try {
      await run(log, store);
    } finally {
      await store.close();
    }
  } finally {
    await log.close();
  }
}

/** Changes of the configuration count for nothing: there is a new one in the end. */
async function applyWhole(log: DurableRaftLog, store: DurableCatalog, place: string): Promise<void> {
  while (store.appliedIndex < log.lastIndex()) {
    const entries = log.entries(store.appliedIndex + 1, log.lastIndex() + 1, BATCH_BYTES);
    if (typeof entries === "string") throw behind(store.appliedIndex, log.base.index, place);
    const batch = new ApplyBatch(store);
    const done = entries.map(({ index, type, data }) => {
      return { index, seal: type === "normal" && data !== undefined ? batch.apply(index, data).seal : undefined };
    });
    await store.applyBatch({ entries: done, changes: batch.finish(), term: entries.at(-1)?.term ?? 0, confState: undefined });
  }
  if (store.appliedIndex > log.lastIndex()) throw behind(store.appliedIndex, log.lastIndex(), place);
}

function behind(applied: number, log: number, place: string): ConsensusError {
  const message = `The catalog in ${place} is at entry ${applied} and the log is at ${log}: they do not follow each other, so this node cannot recover the cluster. Recover it from another survivor.`;
  return new ConsensusError("catalogCorrupt", message, { applied, log });
}

async function applyRecovery(
  store: DurableCatalog,
  command: RecoverCommand,
  { term, confState, principal, place }: { term: number; confState: ConfState; principal: string; place: string },
): Promise<void> {
  const index = command.lastIndex + 1;
  const v = commandVersion(createCatalog(store).cluster());
  const envelope = encodeEnvelope({ v, session: 0, sequence: 0, lowest: 0, principal, command });
  const batch = new ApplyBatch(store);
  const { seal, commands } = batch.apply(index, stampEntry(0, envelope));
  const refused = commands[0]?.outcome.refused;
  if (refused !== undefined) {
    throw new ConsensusError("catalogCorrupt", `The catalog in ${place} refuses the recovery (${refused}): order it again.`, { index });
  }
  await store.applyBatch({ entries: [{ index, seal }], changes: batch.finish(), term, confState });
  await store.sync();
}

function soleVoter(voter: RaftId): ConfState {
  return { voters: [voter], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}
