import type { RaftId } from "../core/peer.ts";
import type { ClusterCommand, Outcome } from "./commands.ts";
import { type Decision, refuse } from "./decision.ts";
import { type Draft, readRow } from "./draft.ts";
import { bootKey, outcomeKey, SESSIONS_KEY, sessionKey } from "./keys.ts";
import { isMember, readRoster } from "./membership.ts";
import type { ApplyContext } from "./policy.ts";
import { type BootId, type CatalogTime, isOutdated } from "./records.ts";
import { BOOT, KEPT, SESSION, SESSIONS, type Session } from "./rows.ts";
import type { View } from "./view.ts";

/** Outcomes kept for one session: a proposer has at most so many commands unanswered. */
export const SESSION_WINDOW = 1_024;
/** Of one member: an open that was retried made two. The oldest goes. */
const SESSIONS_OF_MEMBER_MAX = 8;

/** The session is the index of its entry. Those whose time has passed are cleared away here, since nothing else has to look at them. */
export function openSession(draft: Draft, context: ApplyContext, command: Extract<ClusterCommand, { type: "session.open" }>): Decision {
  const { raftId, boot } = command;
  if (!isMember(readRoster(draft), raftId)) return refuse("unknown");
  if (boot !== undefined) {
    const newest = readBoot(draft, raftId);
    if (newest !== undefined && isOutdated(boot, newest)) return refuse("incarnation");
    draft.write(BOOT, bootKey(raftId), boot);
  }
  const ids = draft.read(SESSIONS, SESSIONS_KEY)?.ids ?? [];
  const kept: number[] = [];
  let ofMember = 0;
  for (const id of ids.toReversed()) {
    const session = readSession(draft, context.time, id, context.policy.sessionIdleMs);
    if (session?.raftId === raftId) ofMember += 1;
    if (session === undefined || (session.raftId === raftId && ofMember >= SESSIONS_OF_MEMBER_MAX)) endSession(draft, id);
    else kept.push(id);
  }
  draft.write(SESSIONS, SESSIONS_KEY, { ids: [...kept.reverse(), context.index] });
  draft.write(SESSION, sessionKey(context.index), { raftId, seenAt: context.time, lowest: 0, highest: -1 });
  return { value: context.index };
}

/** The newest start of a member that has opened a session. */
export function readBoot(view: View, raftId: RaftId): BootId | undefined {
  return readRow(view, BOOT, bootKey(raftId));
}

/** Undefined for one that never was, or has been idle for too long. */
export function readSession(draft: Draft, time: CatalogTime, id: number, idleMs: number): Session | undefined {
  const session = draft.read(SESSION, sessionKey(id));
  return session === undefined || time - session.seenAt > idleMs ? undefined : session;
}

function endSession(draft: Draft, id: number): void {
  const session = draft.read(SESSION, sessionKey(id));
  if (session === undefined) return;
  const slots = Math.min(session.highest + 1, SESSION_WINDOW);
  for (let slot = 0; slot < slots; slot += 1) draft.remove(outcomeKey(id, slot));
  draft.remove(sessionKey(id));
}

/** The outcome of a command of the session that has applied. */
export function readOutcome(draft: Draft, id: number, session: Session, sequence: number): Outcome | undefined {
  // Most are new: there is nothing above the highest, and no row to look for.
  const kept = sequence > session.highest ? undefined : draft.read(KEPT, outcomeKey(id, sequence % SESSION_WINDOW));
  return kept?.sequence === sequence ? kept.outcome : undefined;
}

/** In the place of the one a window before it, which the proposer has had answered: nothing has to be deleted for each command. */
export function keepOutcome(draft: Draft, id: number, sequence: number, outcome: Outcome): void {
  draft.write(KEPT, outcomeKey(id, sequence % SESSION_WINDOW), { sequence, outcome });
}
