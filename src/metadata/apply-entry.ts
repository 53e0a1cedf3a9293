import { decide } from "./apply.ts";
import { keepOutcome, readOutcome, readSession, SESSION_WINDOW } from "./apply-session.ts";
import { hashLink } from "./chain.ts";
import type { Command, Outcome, Refusal } from "./commands.ts";
import { Draft } from "./draft.ts";
import { decodeEntry, type Envelope } from "./entry.ts";
import { HaltError } from "./halt-error.ts";
import { CLUSTER_KEY, HEAD_KEY, sessionKey } from "./keys.ts";
import { type ApplyContext, DEFAULT_POLICY, type Policy } from "./policy.ts";
import { CLUSTER, HEAD, type Head, OUTCOME, SESSION, type Session } from "./rows.ts";
import type { Change, View } from "./view.ts";

export interface AppliedEntry {
  /** For one batch, together with the seal and the applied index. */
  readonly changes: readonly Change[];
  /** Hash of the chain of G9 up to this entry: over all that applied, and what it did. */
  readonly seal: Uint8Array;
  readonly outcome: Outcome;
  readonly command: Command;
  readonly session: number;
  readonly sequence: number;
  /** The command had applied before: `outcome` is the one of then, and nothing was done again. */
  readonly duplicate: boolean;
}

const GENESIS: Head = { index: 0, time: 0, hash: new Uint8Array(32) };
const SESSIONLESS: ReadonlySet<Command["type"]> = new Set(["cluster.init", "session.open", "clock.tick"]);
/** Stands in for what could not be read, and does as little. */
const NOTHING: Command = { type: "clock.tick" };

/**
 * Applies one committed entry: moves catalog time by its stamp, answers a repeated command from the kept outcome (G8), decides a new one, and links
 * both into the hash chain (G9). Pure. Bad data is refused, the same on every node.
 * @param view the state as of the entry before
 * @throws HaltError where the command is newer than this program, or the entry is not later than the state
 */
export function applyEntry(view: View, index: number, data: Uint8Array, policy: Policy = DEFAULT_POLICY): AppliedEntry {
  const { stampMs, envelope } = decodeEntry(data);
  const draft = new Draft(view);
  const head = draft.read(HEAD, HEAD_KEY) ?? GENESIS;
  if (index <= head.index) {
    throw new HaltError(
      `entry ${index} was to be applied to a state that is at entry ${head.index} already: this node's data is not in order, reinstall it from a snapshot`,
    );
  }
  const context: ApplyContext = { index, time: head.time + stampMs, schema: envelope?.v ?? 0, policy };
  const { outcome, duplicate } =
    envelope === undefined ? { outcome: refusal("mismatch", index), duplicate: false } : settle(draft, context, envelope);
  const changes = draft.changes();
  const { time } = context;
  const seal = hashLink({ before: head.hash, index, time, data, outcome: OUTCOME.encode(outcome), changes });
  changes.push({ key: HEAD_KEY, value: HEAD.encode({ index, time, hash: seal }) });
  return {
    changes,
    seal,
    outcome,
    command: envelope?.command ?? NOTHING,
    session: envelope?.session ?? 0,
    sequence: envelope?.sequence ?? 0,
    duplicate,
  };
}

interface Settled {
  readonly outcome: Outcome;
  readonly duplicate: boolean;
}

function refusal(refused: Refusal, index: number): Outcome {
  return { index, refused };
}

function settle(draft: Draft, context: ApplyContext, envelope: Envelope): Settled {
  if (envelope.session !== 0) return settleInSession(draft, context, envelope);
  const outcome = SESSIONLESS.has(envelope.command.type) ? run(draft, context, envelope) : refusal("session", context.index);
  return { outcome, duplicate: false };
}

/** A command whose session is unknown may have applied long ago: it is never applied blindly (G8). */
function settleInSession(draft: Draft, context: ApplyContext, envelope: Envelope): Settled {
  const { session: id, sequence } = envelope;
  const session = readSession(draft, context.time, id, context.policy.sessionIdleMs);
  const unknown = refusal("session", context.index);
  if (session === undefined) return { outcome: unknown, duplicate: false };
  const lowest = Math.max(session.lowest, envelope.lowest);
  if (sequence < lowest) return { outcome: unknown, duplicate: true };
  if (sequence >= lowest + SESSION_WINDOW) return { outcome: unknown, duplicate: false };
  const kept = readOutcome(draft, id, session, sequence);
  const outcome = kept ?? run(draft, context, envelope);
  if (kept === undefined) keepOutcome(draft, id, sequence, outcome);
  touch(draft, context, id, session, lowest, sequence);
  return { outcome, duplicate: kept !== undefined };
}

function touch(draft: Draft, context: ApplyContext, id: number, session: Session, lowest: number, sequence: number): void {
  const highest = Math.max(session.highest, sequence);
  draft.write(SESSION, sessionKey(id), { raftId: session.raftId, seenAt: context.time, lowest, highest });
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
