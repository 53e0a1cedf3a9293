import { RawNode } from "../raft/raw-node.ts";
import type { DriverOptions } from "./driver.ts";

/** The core as this project runs it: PreVote, CheckQuorum, quorum reads, storage beside the loop, appends that never hide a heartbeat. */
export function createCoreNode(options: DriverOptions): RawNode {
  const { self, log, store, random, logger, timing } = options;
  log.bind(store, () => ({
    meta: { index: store.appliedIndex, term: store.appliedTerm, confState: store.confState },
    data: new Uint8Array(0),
  }));
  return new RawNode({
    id: self,
    electionTick: timing.electionTicks,
    heartbeatTick: timing.heartbeatTicks,
    storage: log,
    random: () => random.float(),
    log: (level, line) => {
      if (level === "warn" || level === "error") logger[level]({}, line());
      else if (level === "info") logger.debug({}, line());
    },
    applied: store.appliedIndex,
    asyncStorageWrites: true,
    maxSizePerMessage: timing.appendBytes,
    maxCommittedSizePerReady: 8 * timing.appendBytes,
    maxUncommittedBytes: 64 * 2 ** 20,
    maxInflightBytes: 8 * timing.appendBytes,
    checkQuorum: true,
    preVote: true,
    stepDownOnRemoval: true,
    commitByVotes: true,
    // Proposals travel as envelopes, which the leader stamps.
    disableProposalForwarding: true,
  });
}
