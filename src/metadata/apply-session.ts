import type { RaftId } from "../core/peer.ts";
import type { ClusterCommand } from "./commands.ts";
import { type Decision, refuse } from "./decision.ts";
import { type Draft, readRow } from "./draft.ts";
import { bootKey, outcomeKey, SESSIONS_KEY, sessionKey } from "./keys.ts";
import { isMember, readRoster } from "./membership.ts";
import { OUTCOME_SLOTS, OUTCOMES_IN_ROW } from "./outcome-rows.ts";
import type { ApplyContext } from "./policy.ts";
import { type BootId, bootFault, type CatalogTime } from "./records.ts";
import { BOOT, SESSION, SESSIONS, type Session } from "./rows.ts";
import type { View } from "./view.ts";

/** Of one member that starts again and again. The oldest goes. */
const SESSIONS_OF_MEMBER_MAX = 8;

/**
 * The session is the index of its entry. Those whose time has passed are cleared away here, since nothing else has to look at them. An open that comes again from the
 * same start is given the session that it opened, as long as nothing was done in it: retries would else push out the one that the start is about to use.
 */
export function openSession(draft: Draft, context: ApplyContext, command: Extract<ClusterCommand, { type: "session.open" }>): Decision {
  const { raftId, boot } = command;
  if (!isMember(readRoster(draft), raftId)) return refuse("unknown");
  const ids = draft.read(SESSIONS, SESSIONS_KEY)?.ids ?? [];
  if (boot !== undefined) {
    const newest = readBoot(draft, raftId);
    if (newest !== undefined && bootFault({ ...boot, earlier: boot.earlier ?? [] }, newest) !== undefined) return refuse("incarnation");
    if (newest?.incarnation === boot.incarnation) {
      const unused = unusedSession(draft, context, ids, raftId);
      if (unused !== undefined) return { value: unused };
    }
    draft.write(BOOT, bootKey(raftId), boot);
  }
  const kept: number[] = [];
  let ofMember = 0;
  for (const id of ids.toReversed()) {
    const session = openAt(draft.read(SESSION, sessionKey(id)), context.time, context.policy.sessionIdleMs);
    if (session?.raftId === raftId) ofMember += 1;
    if (session === undefined || (session.raftId === raftId && ofMember >= SESSIONS_OF_MEMBER_MAX)) endSession(draft, id);
    else kept.push(id);
  }
  draft.write(SESSIONS, SESSIONS_KEY, { ids: [...kept.reverse(), context.index] });
  draft.write(SESSION, sessionKey(context.index), { raftId, seenAt: context.time, lowest: 0, highest: -1 });
  return { value: context.index };
}

/** The newest session of the member, in which the start that opened it has done nothing yet; its time begins anew. */
function unusedSession(draft: Draft, context: ApplyContext, ids: readonly number[], raftId: RaftId): number | undefined {
  for (const id of ids.toReversed()) {
    const session = draft.read(SESSION, sessionKey(id));
    if (session?.raftId !== raftId) continue;
    if (session.highest >= 0 || openAt(session, context.time, context.policy.sessionIdleMs) === undefined) return undefined;
    draft.write(SESSION, sessionKey(id), { ...session, seenAt: context.time });
    return id;
  }
  return undefined;
}

/** The newest start of a member that has opened a session. */
export function readBoot(view: View, raftId: RaftId): BootId | undefined {
  return readRow(view, BOOT, bootKey(raftId));
}

/** Undefined for one that never was, or has been idle for too long. */
export function openAt(session: Session | undefined, time: CatalogTime, idleMs: number): Session | undefined {
  return session === undefined || time - session.seenAt > idleMs ? undefined : session;
}

function endSession(draft: Draft, id: number): void {
  const session = draft.read(SESSION, sessionKey(id));
  if (session === undefined) return;
  const slots = Math.min(Math.floor(session.highest / OUTCOMES_IN_ROW) + 1, OUTCOME_SLOTS);
  for (let slot = 0; slot < slots; slot += 1) draft.remove(outcomeKey(id, slot));
  draft.remove(sessionKey(id));
}
