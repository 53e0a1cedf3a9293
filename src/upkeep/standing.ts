import type { RaftId } from "../core/peer.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { BlobRecord, Member } from "../metadata/records.ts";

// Which copies count. A member that drains counts for nothing; one that is down counts until it has been so for `durability.repairAfter`.

/** How many blobs, and the bytes of the copies in question. */
export interface Amount {
  readonly blobs: number;
  readonly bytes: number;
}

export const NOTHING: Amount = { blobs: 0, bytes: 0 };

/** Members that have been down for `repairAfterMs` of catalog time: what they hold is made again elsewhere. */
export function overdueMembers(catalog: Catalog, repairAfterMs: number): ReadonlySet<RaftId> {
  const since = catalog.time() - repairAfterMs;
  const overdue = catalog.members().filter(({ down, downSince }) => down && downSince !== undefined && downSince <= since);
  return new Set(overdue.map((member) => member.raftId));
}

/** Holders that a record may rely on. */
export function countedHolders(catalog: Catalog, record: BlobRecord, overdue: ReadonlySet<RaftId>): readonly Member[] {
  return catalog.holders(record).filter((member) => !member.draining && !overdue.has(member.raftId));
}

/** max(need, min(`copies`, members that are not draining)). */
export function targetCopies(catalog: Catalog, copies: number): number {
  const staying = catalog.members().filter((member) => !member.draining).length;
  return Math.max(catalog.need(), Math.min(catalog.cluster()?.durability?.copies ?? copies, staying));
}
