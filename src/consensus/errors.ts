export type ConsensusErrorCode =
  | "logCorrupt" // the Raft log is torn or altered: the node must not vote or serve with it
  | "catalogCorrupt" // the catalog's seals are broken: reinstall from a snapshot
  | "diverged" // the catalog differs from what a majority holds at the same index
  | "outdated" // the disk is older than what this node has promised: a backup or a copy
  | "folderInUse" // another process holds the data folder
  | "storage" // a write or fsync failed: the process must end
  | "version" // an entry or snapshot that this program does not know
  | "foreignFolder" // parts of the data folder are of another node or cluster
  | "transfer" // a snapshot that did not arrive whole
  | "malformed"; // a peer sent what is no word of the protocol

/** What consensus cannot go on with: code plus facts. Refusals that a client can act on are `OciError`s. */
export class ConsensusError extends Error {
  override readonly name = "ConsensusError";
  readonly code: ConsensusErrorCode;
  readonly facts: Readonly<Record<string, string | number>>;

  constructor(code: ConsensusErrorCode, message: string, facts: ConsensusError["facts"] = {}, cause?: unknown) {
    super(message, { cause });
    this.code = code;
    this.facts = facts;
  }
}

/** Called once with what ends the node: a write or fsync that failed is never retried into success. */
export type Fatal = (error: Error) => void;

/** The log cannot be trusted any more: it may lack what this node has promised. */
export function logCorrupt(place: string, reason: string): ConsensusError {
  return new ConsensusError(
    "logCorrupt",
    `The Raft log in ${place} is damaged: ${reason}. This node must not vote with it. Replace the node: remove it, and join with an empty folder.`,
    { folder: place },
  );
}
