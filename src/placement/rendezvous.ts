import { type Digest, hexOf } from "../core/digest.ts";
import type { RaftId } from "../core/peer.ts";

/** What placement knows of a member. */
export interface PlacementMember {
  readonly raftId: RaftId;
  readonly zone: string;
  /** Relative weight; 1 by default. A member without any takes nothing. */
  readonly capacity: number;
}

/**
 * Where the copies of a digest belong: weighted rendezvous hashing, so that a member that joins or leaves moves only its own share. Every node computes the
 * same from the same membership.
 * @param members in any order; those that drain or are down are the caller's to leave out
 * @returns at most `copies` ids, the most wanted first, in distinct zones as long as there are any
 */
export function place(digest: Digest, members: readonly PlacementMember[], copies: number): readonly RaftId[] {
  const ranked = rank(digest, members);
  const placed = new Set<RaftId>();
  const wanted = Math.min(copies, ranked.length);
  // each round takes the best of every zone once: the copies are spread as evenly as there are zones
  while (placed.size < wanted) {
    const zones = new Set<string>();
    for (const { raftId, zone } of ranked) {
      if (placed.size === wanted) break;
      if (placed.has(raftId) || zones.has(zone)) continue;
      zones.add(zone);
      placed.add(raftId);
    }
  }
  return [...placed];
}

/** By descending score; ids break ties, which leaves nothing to the order of the input. */
function rank(digest: Digest, members: readonly PlacementMember[]): readonly PlacementMember[] {
  const seed = seedOf(digest);
  return members
    .filter((member) => member.capacity > 0)
    .map((member) => ({ member, score: score(seed, member) }))
    .sort((a, b) => b.score - a.score || a.member.raftId - b.member.raftId)
    .map(({ member }) => member);
}

interface Seed {
  readonly high: number;
  readonly low: number;
}

/** 64 bits of the digest, which is as good as random. */
function seedOf(digest: Digest): Seed {
  const hex = hexOf(digest);
  return { high: Number.parseInt(hex.slice(0, 8), 16) | 0, low: Number.parseInt(hex.slice(8, 16), 16) | 0 };
}

/** -capacity / ln(u), u uniform in (0, 1): the highest of such scores falls on each member in proportion to its capacity. */
function score(seed: Seed, member: PlacementMember): number {
  const first = mix(seed.high ^ mix(member.raftId | 0));
  const second = mix(seed.low ^ mix((member.raftId + 0x9e3779b9) | 0));
  const uniform = (first * 0x200000 + (second >>> 11) + 0.5) / 2 ** 53;
  return -member.capacity / Math.log(uniform);
}

/** The finaliser of MurmurHash3: each bit of the input turns half of the output. */
function mix(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
