import type { ClusterCommand } from "./commands.ts";
import { ACCEPTED, type Decision } from "./decision.ts";
import type { Draft } from "./draft.ts";
import { AUDIT_TRAIL_KEY, auditKey } from "./keys.ts";
import { AUDIT, AUDIT_TRAIL } from "./rows.ts";

/** So many records are kept; the oldest make room for new ones. */
const RECORDS_KEPT = 10_000;

export function noteAudit(draft: Draft, { raftId, notes }: Extract<ClusterCommand, { type: "audit.note" }>): Decision {
  let { first, next } = draft.read(AUDIT_TRAIL, AUDIT_TRAIL_KEY) ?? { first: 0, next: 0 };
  for (const { atMs, action, target, detail } of notes) {
    draft.write(AUDIT, auditKey(next), { raftId, atMs, action, target, detail });
    next += 1;
    for (; next - first > RECORDS_KEPT; first += 1) draft.remove(auditKey(first));
  }
  draft.write(AUDIT_TRAIL, AUDIT_TRAIL_KEY, { first, next });
  return ACCEPTED;
}
