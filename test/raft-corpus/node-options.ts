import type { Config, Snapshot } from "../../src/raft/types.ts";
import { HarnessError } from "./harness-error.ts";
import { type Directive, flag, option, optionList, positionalIds, wholeNumber } from "./parser.ts";

type NodeConfig = Omit<Config, "id" | "storage" | "random" | "log" | "electionTick" | "heartbeatTick">;

export interface NodeOptions {
  readonly count: number;
  /** Index 0 where the nodes start with nothing. */
  readonly snapshot: Snapshot;
  readonly config: NodeConfig;
}

/** Limits in bytes: an entry counts with the core's own overhead. */
const BYTE_LIMITS = {
  "inflight-bytes": "maxInflightBytes",
  "max-committed-size-per-ready": "maxCommittedSizePerReady",
  "max-size-per-msg": "maxSizePerMessage",
  "max-uncommitted-size": "maxUncommittedBytes",
} as const;

const BOOTSTRAP = ["voters", "learners", "index", "content"];
const INFLIGHT_MAX = String(2 ** 31 - 1);

/** The options of `add-nodes N k=v...`. */
export function nodeOptions(directive: Directive): NodeOptions {
  const ids = (key: string): number[] => (optionList(directive, key) ?? []).map(wholeNumber);
  const readOnly = option(directive, "read-only") ?? "safe";
  if (readOnly !== "safe" && readOnly !== "lease-based") throw new HarnessError(`invalid read-only option "${readOnly}"`);
  const index = wholeNumber(option(directive, "index") ?? "0");
  const bootstraps = BOOTSTRAP.some((key) => (optionList(directive, key)?.length ?? 0) > 0);
  if (bootstraps && index <= 1) throw new HarnessError("index must be specified as > 1 due to bootstrap");
  const confState = { voters: ids("voters"), votersOutgoing: [], learners: ids("learners"), learnersNext: [], autoLeave: false };
  const limits = Object.entries(BYTE_LIMITS).flatMap(([key, name]) => {
    const bytes = option(directive, key);
    return bytes === undefined ? [] : [[name, wholeNumber(bytes)]];
  });
  return {
    count: positionalIds(directive)[0] as number,
    snapshot: {
      meta: { index, term: bootstraps ? 1 : 0, confState },
      data: new TextEncoder().encode(option(directive, "content") ?? ""),
    },
    config: {
      maxInflightMessages: wholeNumber(option(directive, "inflight") ?? INFLIGHT_MAX),
      asyncStorageWrites: flag(directive, "async-storage-writes"),
      preVote: flag(directive, "prevote"),
      checkQuorum: flag(directive, "checkquorum"),
      disableConfChangeValidation: flag(directive, "disable-conf-change-validation"),
      disableProposalForwarding: flag(directive, "disable-proposal-forwarding"),
      stepDownOnRemoval: flag(directive, "step-down-on-removal"),
      readOnly: readOnly === "safe" ? "safe" : "leaseBased",
      ...Object.fromEntries(limits),
    },
  };
}
