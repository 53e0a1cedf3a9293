import type { RaftId } from "../core/peer.ts";
import { readRow } from "./draft.ts";
import { CLUSTER_KEY, ROSTER_KEY } from "./keys.ts";
import type { Policy } from "./policy.ts";
import type { Durability } from "./records.ts";
import { CLUSTER, ROSTER, type Roster } from "./rows.ts";
import type { View } from "./view.ts";

export const EMPTY_ROSTER: Roster = { seats: [], removed: [] };

export function readRoster(view: View): Roster {
  return readRow(view, ROSTER, ROSTER_KEY) ?? EMPTY_ROSTER;
}

export function readDurability(view: View, policy: Policy): Durability {
  return readRow(view, CLUSTER, CLUSTER_KEY)?.durability ?? policy.durability;
}

export function isMember(roster: Roster, id: RaftId): boolean {
  return roster.seats.some((seat) => seat.id === id);
}

/** A member that is neither down nor draining: what it holds stays where it can be reached. */
export function isUp(roster: Roster, id: RaftId): boolean {
  return roster.seats.some((seat) => seat.id === id && !seat.down && !seat.draining);
}

/** A raft id is never used again, so a copy whose id is no member's counts for nothing: that strikes a removed member's copies everywhere at once. */
export function memberCopies(roster: Roster, copies: readonly RaftId[]): readonly RaftId[] {
  return copies.filter((id) => isMember(roster, id));
}

/** G1: min(`acks`, active members); one that is down still counts. */
export function needOf(roster: Roster, durability: Durability): number {
  return Math.min(durability.acks, roster.seats.length);
}

/** max(need, min(`copies`, members that are not draining)). */
export function targetOf(roster: Roster, durability: Durability): number {
  const staying = roster.seats.filter((seat) => !seat.draining).length;
  return Math.max(needOf(roster, durability), Math.min(durability.copies, staying));
}
