import { handlePropose } from "./leader.ts";
import { sizeOf } from "./log.ts";
import type { Raft } from "./raft.ts";
import { describeConfig } from "./text.ts";
import { type Index, payloadWithin, type Snapshot, type StorageAppendReply, type StorageApplyReply, type StorageReply } from "./types.ts";

export function stepStorageReply(raft: Raft, reply: StorageReply): void {
  if (reply.type === "storageAppendReply") handleAppended(raft, reply);
  else handleApplied(raft, reply);
}

function handleAppended(raft: Raft, { term, index, logTerm, snapshot }: StorageAppendReply): void {
  if (index !== 0 && term < raft.term) {
    // ABA: between the write and now, another leader may have replaced the entries with others and those again with these.
    raft.note("info", () => {
      return `[term: ${raft.term}] ignored entry appends from a MsgStorageAppendResp message with lower term [term: ${term}]`;
    });
  } else if (index !== 0) {
    raft.log.unstable.stableTo(index, logTerm);
  }
  if (snapshot !== undefined) snapshotStored(raft, snapshot);
}

function handleApplied(raft: Raft, { entries }: StorageApplyReply): void {
  const last = entries.at(-1);
  if (last === undefined) return;
  const bytes = sizeOf(entries);
  appliedTo(raft, last.index, bytes);
  raft.reduceUncommitted(payloadWithin(bytes, entries.length));
}

function snapshotStored(raft: Raft, { meta }: Snapshot): void {
  raft.log.unstable.stableSnapshotTo(meta.index);
  appliedTo(raft, meta.index, 0);
}

/** A snapshot may have overtaken entries that were on their way to the applier: they are behind by now. */
function appliedTo(raft: Raft, index: Index, bytes: number): void {
  const { log, tracker } = raft;
  const applied = Math.max(index, log.applied);
  log.appliedTo(applied, bytes);
  if (!tracker.config.autoLeave || applied < raft.pendingConfIndex || raft.role !== "leader") return;
  // The joint configuration has applied, here or at a leader before us that did not get to leave it.
  const refusal = handlePropose(raft, [{ type: "confChangeV2", data: undefined }]);
  const config = describeConfig(tracker.config);
  if (refusal === undefined) raft.settings.log("info", () => `initiating automatic transition out of joint configuration ${config}`);
  else raft.settings.log("debug", () => `not initiating automatic transition out of joint configuration ${config}: raft proposal dropped`);
}
