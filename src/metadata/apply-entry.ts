import { decide } from "./apply.ts";
import { openAt } from "./apply-session.ts";
import { type Effect, hashLink } from "./chain.ts";
import type { Command, Outcome, Refusal } from "./commands.ts";
import { changesOf, Draft, readRow } from "./draft.ts";
import { decodeEntry, type Envelope } from "./entry.ts";
import { HaltError } from "./halt-error.ts";
import { CLUSTER_KEY } from "./keys.ts";
import { Ledger } from "./ledger.ts";
import { SESSION_WINDOW } from "./outcome-rows.ts";
import { type ApplyContext, DEFAULT_POLICY, type Policy, policyOf } from "./policy.ts";
import { CLUSTER, OUTCOME, type Session } from "./rows.ts";
import type { Change, View } from "./view.ts";

/** A command that has applied, with what its proposer knows it by. */
export interface AppliedCommand {
  /** Of its entry. */
  readonly index: number;
  readonly outcome: Outcome;
  readonly command: Command;
  readonly session: number;
  readonly sequence: number;
  /** The first of its session that its proposer had no answer to: those before are given up. */
  readonly lowest: number;
  /** The command had applied before: `outcome` is the one of then, and nothing was done again. */
  readonly duplicate: boolean;
}

export interface AppliedEntry {
  /** Hash of the chain of G9 up to this entry: over all that applied, and what it did. */
  readonly seal: Uint8Array;
  /** In the order in which they applied. */
  readonly commands: readonly AppliedCommand[];
}

/**
 * Applies committed entries, many in one batch where many wait: each moves catalog time by its stamp, and is linked into the hash chain (G9) with
 * what came of its commands. Each of them sees what those before it did, is answered from the kept outcome where it is repeated (G8), or decided; what is wrong with
 * one does no harm to the others. Pure. Bad data is refused, the same on every node and however entries are batched.
 */
export class ApplyBatch implements View {
  readonly #base: View;
  readonly #policy: Policy;
  readonly #changes = new Map<string, Uint8Array | undefined>();
  readonly #ledger = new Ledger(this);

  /** @param base the state as of the entry before the first */
  constructor(base: View, policy: Policy = DEFAULT_POLICY) {
    this.#base = base;
    this.#policy = policy;
  }

  get(key: string): Uint8Array | undefined {
    const value = this.#changes.get(key);
    return value !== undefined || this.#changes.has(key) ? value : this.#base.get(key);
  }

  /** @throws HaltError where the command is newer than this program, or the entry is not later than the state: nothing of the batch may be written then */
  apply(index: number, data: Uint8Array): AppliedEntry {
    const { head } = this.#ledger;
    if (index <= head.index) {
      throw new HaltError(
        `entry ${index} was to be applied to a state that is at entry ${head.index} already: this node's data is not in order, reinstall it from a snapshot`,
      );
    }
    const { stampMs, envelopes } = decodeEntry(data);
    const time = head.time + stampMs;
    const policy = policyOf(readRow(this, CLUSTER, CLUSTER_KEY), this.#policy);
    const commands: AppliedCommand[] = [];
    const effects: Effect[] = [];
    for (const envelope of envelopes) {
      const draft = new Draft(this);
      const context: ApplyContext = { index, time, schema: envelope?.v ?? 0, policy };
      const { outcome, duplicate, encoded = OUTCOME.encode(outcome) } = this.#settle(draft, context, envelope);
      effects.push({ outcome: encoded, changes: draft.changes });
      for (const [key, value] of draft.changes) this.#changes.set(key, value);
      const { command = NOTHING, session = 0, sequence = 0, lowest = 0 } = envelope ?? {};
      commands.push({ index, outcome, command, session, sequence, lowest, duplicate });
    }
    const seal = hashLink({ before: head.hash, index, time, data, effects });
    this.#ledger.moveHead({ index, time, hash: seal });
    return { seal, commands };
  }

  /** What all of them have changed, by key, as the last one left it; for one batch, together with the seal and the applied index. */
  finish(): ReadonlyMap<string, Uint8Array | undefined> {
    this.#spill();
    return this.#changes;
  }

  #settle(draft: Draft, context: ApplyContext, envelope: Envelope | undefined): Settled {
    if (envelope === undefined) return { outcome: refusal("mismatch", context.index), duplicate: false };
    const { type } = envelope.command;
    if (envelope.session !== 0 && type !== "session.open") return settleInSession(draft, this.#ledger, context, envelope);
    if (envelope.session !== 0 || !SESSIONLESS.has(type)) return { outcome: refusal("session", context.index), duplicate: false };
    // It may read and write sessions as rows.
    const { head } = this.#ledger;
    this.#spill();
    this.#ledger.moveHead(head);
    return { outcome: run(draft, context, envelope), duplicate: false };
  }

  #spill(): void {
    for (const { key, value } of this.#ledger.take()) this.#changes.set(key, value);
  }
}

/** One entry that was a batch of its own. What it says of a command is of its first. */
export interface LoneEntry extends AppliedEntry, AppliedCommand {
  readonly changes: readonly Change[];
}

/** A batch of one. */
export function applyEntry(view: View, index: number, data: Uint8Array, policy: Policy = DEFAULT_POLICY): LoneEntry {
  const batch = new ApplyBatch(view, policy);
  const { seal, commands } = batch.apply(index, data);
  const [first] = commands;
  if (first === undefined) throw new RangeError("an entry has at least one command");
  return { ...first, seal, commands, changes: changesOf(batch.finish()) };
}

const SESSIONLESS: ReadonlySet<Command["type"]> = new Set(["cluster.init", "cluster.recover", "session.open", "clock.tick"]);
/** Stands in for what could not be read, and does as little. */
const NOTHING: Command = { type: "clock.tick" };

interface Settled {
  readonly outcome: Outcome;
  readonly duplicate: boolean;
  /** The outcome's bytes, where they are there already. */
  readonly encoded?: Uint8Array;
}

function refusal(refused: Refusal, index: number): Outcome {
  return { index, refused };
}

/** A command whose session is unknown may have applied long ago: it is never applied blindly (G8). */
function settleInSession(draft: Draft, ledger: Ledger, context: ApplyContext, envelope: Envelope): Settled {
  const { session: id, sequence } = envelope;
  const { index, time, policy } = context;
  const session = openAt(ledger.session(id), time, policy.sessionIdleMs);
  const unknown = refusal("session", index);
  if (session === undefined) return { outcome: unknown, duplicate: false };
  const lowest = Math.max(session.lowest, envelope.lowest);
  if (sequence < lowest) return { outcome: unknown, duplicate: true };
  if (sequence >= lowest + SESSION_WINDOW) return { outcome: unknown, duplicate: false };
  // Most are new: there is nothing above the highest, and no row to look for.
  const kept = sequence > session.highest ? undefined : ledger.outcome(id, sequence);
  ledger.keepSession(id, touched(session, time, lowest, sequence));
  if (kept !== undefined) return { outcome: kept, duplicate: true };
  const outcome = run(draft, context, envelope);
  const encoded = OUTCOME.encode(outcome);
  ledger.keepOutcome(id, sequence, encoded);
  return { outcome, duplicate: false, encoded };
}

function touched({ raftId, highest }: Session, seenAt: number, lowest: number, sequence: number): Session {
  return { raftId, seenAt, lowest, highest: Math.max(highest, sequence) };
}

/** The first that writes anything for its entry: a refusal drops what its guard has written. */
function run(draft: Draft, context: ApplyContext, envelope: Envelope): Outcome {
  const version = draft.read(CLUSTER, CLUSTER_KEY)?.version;
  if (version !== undefined && envelope.v > version) return refusal("version", context.index);
  const { refused, digest, value } = decide(draft, context, envelope.command);
  if (refused !== undefined) draft.discard();
  else if (digest === undefined && value === undefined) return { index: context.index };
  return {
    index: context.index,
    ...(refused === undefined ? {} : { refused }),
    ...(digest === undefined ? {} : { digest }),
    ...(value === undefined ? {} : { value }),
  };
}
