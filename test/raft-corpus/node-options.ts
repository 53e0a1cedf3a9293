import type { Config, Snapshot } from "../../src/raft/types.ts";
import { HarnessError } from "./harness-error.ts";
import { type Directive, flag, option, optionList, positionalIds } from "./parser.ts";

type NodeConfig = Omit<Config, "id" | "storage" | "random" | "log" | "electionTick" | "heartbeatTick">;

export interface NodeOptions {
  readonly count: number;
  /** Index 0 where the nodes start with nothing. */
  readonly snapshot: Snapshot;
  readonly config: NodeConfig;
}

const BOOTSTRAP = ["voters", "learners", "index", "content"];
const INFLIGHT_MAX = 2 ** 31 - 1;

/** The options of `add-nodes N k=v...`. */
export function nodeOptions(directive: Directive): NodeOptions {
  const ids = (key: string): number[] => (optionList(directive, key) ?? []).map(Number);
  const readOnly = option(directive, "read-only") ?? "safe";
  if (readOnly !== "safe" && readOnly !== "lease-based") throw new HarnessError(`invalid read-only option "${readOnly}"`);
  const index = Number(option(directive, "index") ?? 0);
  const bootstraps = BOOTSTRAP.some((key) => (optionList(directive, key)?.length ?? 0) > 0);
  if (bootstraps && index <= 1) throw new HarnessError("index must be specified as > 1 due to bootstrap");
  const confState = { voters: ids("voters"), votersOutgoing: [], learners: ids("learners"), learnersNext: [], autoLeave: false };
  const committedMax = option(directive, "max-committed-size-per-ready");
  return {
    count: positionalIds(directive)[0] ?? 0,
    snapshot: {
      meta: { index, term: bootstraps ? 1 : 0, confState },
      data: new TextEncoder().encode(option(directive, "content") ?? ""),
    },
    config: {
      maxInflightMessages: Number(option(directive, "inflight") ?? INFLIGHT_MAX),
      asyncStorageWrites: flag(directive, "async-storage-writes") ?? false,
      preVote: flag(directive, "prevote") ?? false,
      checkQuorum: flag(directive, "checkquorum") ?? false,
      disableConfChangeValidation: flag(directive, "disable-conf-change-validation") ?? false,
      stepDownOnRemoval: flag(directive, "step-down-on-removal") ?? false,
      readOnly: readOnly === "safe" ? "safe" : "leaseBased",
      ...(committedMax === undefined ? {} : { maxCommittedSizePerReady: Number(committedMax) }),
    },
  };
}
