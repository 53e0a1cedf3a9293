import type { Digest } from "../core/digest.ts";
import type { RaftId } from "../core/peer.ts";
import type { Catalog } from "../metadata/catalog.ts";
import type { BlobRecord, Member } from "../metadata/records.ts";
import { place } from "../placement/rendezvous.ts";
import { countedHolders, targetCopies } from "./standing.ts";

/** One step that brings the copies of a record to where they belong. */
export interface Move {
  readonly type: "add" | "drop";
  readonly member: Member;
  /** Who is to do it: the same on every node. */
  readonly actor: RaftId;
}

export interface Balance {
  /** `durability.copies`, where the cluster's record names none. */
  readonly copies: number;
  /** Members whose copies are made again elsewhere (`overdueMembers`). */
  readonly overdue: ReadonlySet<RaftId>;
  /** Members that would not take a copy of late. */
  readonly refusing: ReadonlySet<RaftId>;
}

/**
 * The copy that is missing where placement wants one, before any that lies elsewhere goes; undefined where all is in place, or where repair or a drain is to
 * come first. A copy of a member that is down stays: it comes back with it.
 */
export function nextMove(catalog: Catalog, digest: Digest, record: BlobRecord, { copies, overdue, refusing }: Balance): Move | undefined {
  const target = targetCopies(catalog, copies);
  const holders = catalog.holders(record);
  if (holders.some((member) => member.draining) || countedHolders(catalog, record, overdue).length < target) return undefined;
  const up = holders.filter((member) => !member.down);
  const [actor] = place(digest, up, 1);
  if (actor === undefined) return undefined;
  const staying = catalog.members().filter(({ raftId, draining }) => !draining && !overdue.has(raftId));
  const wanted = place(digest, staying, target);
  const lacks = (member: Member | undefined): member is Member =>
    member !== undefined && !member.down && !holders.includes(member) && !refusing.has(member.raftId);
  const missing = wanted.map((id) => catalog.member(id)).find(lacks);
  if (missing !== undefined) return { type: "add", member: missing, actor };
  if (up.length <= target) return undefined;
  const surplus = place(digest, up, up.length).findLast((id) => !wanted.includes(id));
  const member = up.find(({ raftId }) => raftId === surplus);
  return member === undefined ? undefined : { type: "drop", member, actor };
}
