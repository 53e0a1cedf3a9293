/**
 * - `configInvalid`: the configuration contradicts itself.
 * - `invariantBroken`: state that Raft excludes, so a bug or a damaged disk. The node must stop: going on could lose data.
 * - `logCorrupt`: the durable log lacks what this node has acknowledged.
 * - `snapshotOutOfDate`: storage already holds a newer snapshot.
 */
export type RaftErrorCode = "configInvalid" | "invariantBroken" | "logCorrupt" | "snapshotOutOfDate";

export class RaftError extends Error {
  override readonly name = "RaftError";
  readonly code: RaftErrorCode;
  readonly facts: Readonly<Record<string, string | number>>;

  constructor(code: RaftErrorCode, message: string, facts: RaftError["facts"] = {}) {
    super(message);
    this.code = code;
    this.facts = facts;
  }
}
