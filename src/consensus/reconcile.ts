import { ConsensusError } from "./errors.ts";
import type { AppliedStore, RaftLog } from "./store.ts";

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
