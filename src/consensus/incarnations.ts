import type { RaftId } from "../core/peer.ts";
import type { Command } from "../metadata/commands.ts";
import { type BootId, bootFault } from "../metadata/records.ts";
import { ConsensusError } from "./errors.ts";
import type { Boot, BootRefusal, PeerMessage } from "./transport.ts";

interface Known {
  /** The newest start of the peer, whether it has spoken here or not. */
  newest: BootId | undefined;
  /** The start that has spoken here last. */
  speaker: Boot | undefined;
  /** What it has said to be on its disk: a term, and in that term a log up to this index. */
  term: number;
  index: number;
}

export interface IncarnationsOptions {
  readonly self: RaftId;
  /** The start that this node is. */
  readonly boot: Boot;
  /** The newest start that the catalog knows. */
  readonly recorded: (peer: RaftId) => BootId | undefined;
  /** This node is not its own newest start: it must end. */
  readonly outdated: (error: ConsensusError) => void;
}

/**
 * What this node knows of its peers' starts, from themselves and from the catalog, and whether the one that speaks is the newest.
 * A disk that was put back from a backup, or copied, has forgotten votes and entries that others count on.
 */
export class Incarnations {
  readonly #options: IncarnationsOptions;
  readonly #known = new Map<RaftId, Known>();

  constructor(options: IncarnationsOptions) {
    this.#options = options;
  }

  /** @returns why nothing of this start is taken */
  check(from: RaftId, boot: Boot): BootRefusal | undefined {
    const known = this.#of(from);
    const { newest, speaker } = known;
    if (speaker === boot && newest?.incarnation === boot.incarnation) return undefined;
    const { incarnation, nonce } = boot;
    const fault = newest === undefined ? undefined : bootFault(boot, newest);
    if (fault !== undefined) return { reason: fault, incarnation, nonce };
    // A number and a history of its own do not say that the disk is whole: a backup of the last run, or a copy of it, goes on like the original.
    if (speaker?.incarnation !== incarnation && isBehind(boot, known)) return { reason: "behind", incarnation, nonce };
    known.newest = boot;
    known.speaker = boot;
    return undefined;
  }

  /** Remembers what the peer's answers promise: they left it after its fsync. */
  heard(from: RaftId, messages: readonly PeerMessage[]): void {
    const known = this.#of(from);
    for (const each of messages) {
      if (each.kind !== "raft") continue;
      const { message } = each;
      if (message.type !== "appendReply" && message.type !== "voteReply") continue;
      const index = message.type === "appendReply" && !message.rejected ? message.index : 0;
      if (message.term > known.term) {
        known.term = message.term;
        known.index = index;
      } else if (message.term === known.term && index > known.index) known.index = index;
    }
  }

  /** A peer took nothing of a start of this node: of this one, or what was under way from an earlier one, which harms nobody. */
  refused(by: RaftId, refusal: BootRefusal): void {
    const { boot, outdated } = this.#options;
    if (refusal.nonce === boot.nonce) outdated(outdatedError(`member ${by} says that ${REASONS[refusal.reason]}`, boot));
  }

  /** Of this node too: what comes from the log may be of a start that its disk knows nothing of. */
  opened({ raftId, boot }: Extract<Command, { type: "session.open" }>): void {
    if (boot === undefined) return;
    this.#learn(raftId, boot);
    if (raftId === this.#options.self) this.#compareOwn(boot);
  }

  /** The catalog knows another start of this node. */
  refusedByCatalog(): void {
    const { boot, outdated } = this.#options;
    outdated(outdatedError("the catalog holds another start of this node", boot));
  }

  #compareOwn(recorded: BootId): void {
    if (bootFault(this.#options.boot, recorded) !== undefined) this.refusedByCatalog();
  }

  /** What the catalog knows is so for everybody: a start that was taken here, and did not follow it, is taken no more. */
  #learn(peer: RaftId, boot: BootId): void {
    const known = this.#of(peer);
    const { newest, speaker } = known;
    const isNewer = newest === undefined || boot.incarnation > newest.incarnation;
    if (isNewer || (speaker !== undefined && bootFault(speaker, boot) === "forked")) known.newest = boot;
  }

  /** A snapshot has replaced the catalog. */
  replaced(): void {
    const own = this.#options.recorded(this.#options.self);
    if (own !== undefined) this.#compareOwn(own);
    for (const peer of this.#known.keys()) {
      const boot = this.#options.recorded(peer);
      if (boot !== undefined) this.#learn(peer, boot);
    }
  }

  #of(peer: RaftId): Known {
    const known = this.#known.get(peer);
    if (known !== undefined) return known;
    const fresh: Known = { newest: this.#options.recorded(peer), speaker: undefined, term: 0, index: 0 };
    this.#known.set(peer, fresh);
    return fresh;
  }
}

/** Within one term a log only grows, so what it held when this was said is there after any crash. */
function isBehind(boot: Boot, known: Known): boolean {
  return boot.term < known.term || (boot.term === known.term && boot.lastIndex < known.index);
}

const REASONS: Readonly<Record<BootRefusal["reason"], string>> = {
  passed: "a later start of the node is known",
  copied: "another process has started from a copy of the disk",
  forked: "the disk knows nothing of an earlier start of the node",
  behind: "the disk lacks what the node has acknowledged",
};

/** Why nothing is taken of a peer. */
export function refusalError(peer: RaftId, { reason, incarnation }: BootRefusal): ConsensusError {
  return new ConsensusError("outdated", `Nothing is taken of start ${incarnation} of member ${peer}: ${REASONS[reason]}.`, {
    peer,
    incarnation,
  });
}

function outdatedError(reason: string, { incarnation }: BootId): ConsensusError {
  return new ConsensusError(
    "outdated",
    `This node's disk is older than what it promised: ${reason}. A backup was put back, or its folder was copied. Replace the node: remove it, and join with an empty folder.`,
    { incarnation },
  );
}
