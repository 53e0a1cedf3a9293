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

/** Of one member: an open that was retried made two. The oldest goes. */
const SESSIONS_OF_MEMBER_MAX = 8;

/** The session is the index of its entry. Those whose time has passed are cleared away here, since nothing else has to look at them. */
export function openSession(draft: Draft, context: ApplyContext, command: Extract<ClusterCommand, { type: "session.open" }>): Decision {
  const { raftId, boot } = command;
  if (!isMember(readRoster(draft), raftId)) return refuse("unknown");
  if (boot !== undefined) {
    const newest = readBoot(draft, raftId);
    if (newest !== undefined && bootFault({ ...boot, earlier: boot.earlier ?? [] }, newest) !== undefined) return refuse("incarnation");
    draft.write(BOOT, bootKey(raftId), boot);
  }
  const ids = draft.read(SESSIONS, SESSIONS_KEY)?.ids ?? [];
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
