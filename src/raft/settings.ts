import { RaftError } from "./errors.ts";
import { type Config, NONE } from "./types.ts";

const MAX_INFLIGHT_MESSAGES = 256;

/** A configuration with its defaults filled in. */
export type Settings = Required<Config>;

/** @throws RaftError configInvalid */
export function settingsOf(config: Config): Settings {
  const maxSizePerMessage = config.maxSizePerMessage ?? Number.POSITIVE_INFINITY;
  const settings: Settings = {
    ...config,
    applied: config.applied ?? 0,
    asyncStorageWrites: config.asyncStorageWrites ?? false,
    maxSizePerMessage,
    maxCommittedSizePerReady: config.maxCommittedSizePerReady ?? maxSizePerMessage,
    maxUncommittedBytes: config.maxUncommittedBytes ?? Number.POSITIVE_INFINITY,
    maxInflightMessages: config.maxInflightMessages ?? MAX_INFLIGHT_MESSAGES,
    maxInflightBytes: config.maxInflightBytes ?? Number.POSITIVE_INFINITY,
    checkQuorum: config.checkQuorum ?? false,
    preVote: config.preVote ?? false,
    readOnly: config.readOnly ?? "safe",
    disableConfChangeValidation: config.disableConfChangeValidation ?? false,
    stepDownOnRemoval: config.stepDownOnRemoval ?? false,
    disableProposalForwarding: config.disableProposalForwarding ?? false,
    commitByVotes: config.commitByVotes ?? false,
  };
  const fault = faultOf(settings);
  if (fault !== undefined) throw new RaftError("configInvalid", fault);
  return settings;
}

function faultOf(settings: Settings): string | undefined {
  if (!Number.isSafeInteger(settings.id) || settings.id <= NONE) return "the id must be an integer of at least 1";
  if (settings.heartbeatTick <= 0) return "heartbeatTick must be greater than 0";
  if (settings.electionTick <= settings.heartbeatTick) return "electionTick must be greater than heartbeatTick";
  if (settings.maxInflightMessages <= 0) return "maxInflightMessages must be greater than 0";
  if (settings.maxInflightBytes < settings.maxSizePerMessage) return "maxInflightBytes must be at least maxSizePerMessage";
  if (settings.maxCommittedSizePerReady <= 0) return "maxCommittedSizePerReady must be greater than 0";
  if (settings.readOnly === "leaseBased" && !settings.checkQuorum) return "checkQuorum must be enabled where readOnly is leaseBased";
  return undefined;
}
