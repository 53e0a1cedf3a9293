import type { Consensus } from "../consensus/consensus.ts";
import type { Membership, PeerProgress } from "../consensus/membership.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { RaftId } from "../core/peer.ts";
import type { CatalogTime, Member } from "../metadata/records.ts";
import type { ConfChange, ConfChangeSingle } from "../raft/conf-change.ts";
import type { ConfState } from "../raft/types.ts";

export interface MembersOptions {
  readonly consensus: Pick<Consensus, "catalog" | "onApplied">;
  readonly membership: Membership;
  /** `cluster.voters`: at most so many members vote; the others learn. */
  readonly votersMax: number;
  /** `cluster.replaceAfter`: a voter that is down for so long gives its vote to a learner. */
  readonly replaceAfterMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** How often the leader looks again, for learners that have caught up; 500 ms by default. */
  readonly periodMs?: number;
}

export interface Situation {
  readonly self: RaftId;
  /** What is wanted: the members of the catalog. */
  readonly members: readonly Pick<Member, "raftId" | "zone" | "down" | "downSince" | "draining">[];
  readonly configuration: ConfState;
  readonly progress: readonly PeerProgress[];
  readonly lastIndex: number;
  readonly votersMax: number;
  /** Catalog time. */
  readonly time: CatalogTime;
  readonly replaceAfterMs: number;
  /** No voter that is down was replaced for as long: one at most in that time. */
  readonly mayReplace: boolean;
}

/** The one next step towards what is wanted. */
export type Step =
  | { readonly kind: "change"; readonly why: string; readonly change: ConfChange; readonly replaces?: RaftId }
  /** A leader that is no member any more, or drains, makes room before it goes. */
  | { readonly kind: "transfer"; readonly why: string; readonly to: RaftId };

/** Entries that a learner may lack and still count as caught up: it gets them within a round trip or two. */
const CAUGHT_UP_ENTRIES = 64;
const ANSWER_MS = 2_000;

/**
 * Lets the Raft configuration follow the members of the catalog, while this node leads: newcomers learn, those that have
 * caught up vote where a vote is wanted, those that are gone leave.
 * @returns ends it
 */
export function keepMembers(options: MembersOptions): () => void {
  const { consensus, membership, votersMax, replaceAfterMs, clock, log } = options;
  let waitUntil = 0;
  /** When this leader replaced a voter that was down, or began to lead: what the one before it did is not known to it. */
  let replacedMs: number | undefined;
  let scheduled = false;
  let stopped = false;
  const look = (): void => {
    scheduled = false;
    if (!membership.leads()) replacedMs = undefined;
    if (stopped || !membership.leads()) return;
    const nowMs = clock.monotonicMs();
    replacedMs ??= nowMs;
    if (nowMs < waitUntil) return;
    const step = nextStep({
      self: membership.self,
      members: consensus.catalog.members(),
      configuration: membership.configuration(),
      progress: membership.progress(),
      lastIndex: membership.lastIndex(),
      votersMax,
      time: consensus.catalog.time(),
      replaceAfterMs,
      mayReplace: nowMs - replacedMs >= replaceAfterMs,
    });
    if (step === undefined) return;
    waitUntil = nowMs + ANSWER_MS;
    if (step.kind === "transfer") {
      log.info({ to: step.to }, step.why);
      membership.transferLeader(step.to);
      return;
    }
    const refused = membership.proposeConfChange(step.change);
    if (refused === undefined && step.replaces !== undefined) replacedMs = nowMs;
    log.info({ changes: step.change.changes, refused }, step.why);
  };
  // In a turn of its own: whoever tells of a change is in the middle of it.
  const wake = (): void => {
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(look);
  };
  const ends = [
    membership.onConfiguration(() => {
      waitUntil = 0;
      wake();
    }),
    consensus.onApplied(({ command, outcome }) => {
      if (command.type.startsWith("member.") && outcome.refused === undefined) wake();
    }),
    clock.every(options.periodMs ?? 500, wake),
  ];
  wake();
  return () => {
    stopped = true;
    for (const end of ends) end();
  };
}

/** How many of `count` members vote: both of two, else the largest odd number up to `votersMax`. */
export function votersWanted(count: number, votersMax: number): number {
  const most = Math.min(count, Math.max(1, votersMax));
  return most <= 2 ? most : most - ((most + 1) % 2);
}

/** Pure. One change at a time; nothing while a joint configuration is being left. */
export function nextStep(situation: Situation): Step | undefined {
  const { members, configuration } = situation;
  const { voters, votersOutgoing, learners } = configuration;
  // Before `cluster.init` has applied there is nothing to follow.
  if (votersOutgoing.length > 0 || members.length === 0) return undefined;
  const wanted = new Set(members.map(({ raftId }) => raftId));
  const newcomer = members.find(({ raftId }) => !voters.includes(raftId) && !learners.includes(raftId));
  if (newcomer !== undefined) return change("a newcomer begins to learn", [{ type: "addLearner", nodeId: newcomer.raftId }]);
  const goneLearner = learners.find((id) => !wanted.has(id));
  if (goneLearner !== undefined) return change("a learner that is no member leaves", [{ type: "removeNode", nodeId: goneLearner }]);
  return voterLeaves(situation, wanted) ?? leaderDrains(situation) ?? voterCount(situation) ?? voteMoves(situation);
}

function voterLeaves({ self, configuration, progress }: Situation, wanted: ReadonlySet<RaftId>): Step | undefined {
  const gone = configuration.voters.filter((id) => !wanted.has(id));
  const other = gone.find((id) => id !== self);
  if (other !== undefined) return change("a voter that is no member leaves", [{ type: "removeNode", nodeId: other }]);
  if (gone.length === 0) return undefined;
  const heir = progress.find(
    ({ raftId, active }) => raftId !== self && active && wanted.has(raftId) && configuration.voters.includes(raftId),
  );
  const why = "this node is no member any more: handing leadership over";
  return heir === undefined ? undefined : { kind: "transfer", why, to: heir.raftId };
}

/** So that nothing waits for an election when it is stopped. */
function leaderDrains({ self, members, configuration, progress, lastIndex }: Situation): Step | undefined {
  const stays = (id: RaftId): boolean => members.some((member) => member.raftId === id && !member.draining && !member.down);
  if (stays(self)) return undefined;
  const [heir] = progress
    .filter(({ raftId, fresh, match }) => fresh && match + CAUGHT_UP_ENTRIES >= lastIndex && stays(raftId))
    .filter(({ raftId }) => raftId !== self && configuration.voters.includes(raftId))
    .sort((a, b) => b.match - a.match || a.raftId - b.raftId);
  const why = "this node drains: handing leadership over";
  return heir === undefined ? undefined : { kind: "transfer", why, to: heir.raftId };
}

/** A vote goes from a voter to a learner that serves the cluster better, both in one joint change, so that their number stays. */
function voteMoves(situation: Situation): Step | undefined {
  const { self, members, configuration, time, replaceAfterMs, mayReplace } = situation;
  const voters = members.filter(({ raftId }) => raftId !== self && configuration.voters.includes(raftId));
  const swap = (why: string, from: RaftId, rest: object = {}): Step | undefined => {
    const [to] = promotable(situation, from);
    if (to === undefined) return undefined;
    const changes: ConfChangeSingle[] = [
      { type: "addNode", nodeId: to },
      { type: "addLearner", nodeId: from },
    ];
    return { ...change(why, changes), ...rest };
  };
  const [draining] = voters.filter((member) => member.draining && !member.down);
  if (draining !== undefined) return swap("a voter drains: a learner votes in its place", draining.raftId);
  const [longest] = voters
    .filter(({ downSince }) => downSince !== undefined && time - downSince >= replaceAfterMs)
    .sort((a, b) => (a.downSince ?? 0) - (b.downSince ?? 0));
  if (longest !== undefined) {
    const why = "a voter is down for long: a learner votes in its place";
    return mayReplace ? swap(why, longest.raftId, { replaces: longest.raftId }) : undefined;
  }
  if (voters.some(({ down }) => down)) return undefined;
  const crowded = crowdedVoter(situation, voters);
  return crowded === undefined ? undefined : swap("votes are spread over more zones", crowded);
}

/** A voter whose zone has two votes more than that of a learner which could vote in its place. */
function crowdedVoter(situation: Situation, voters: Situation["members"]): RaftId | undefined {
  const votesIn = zoneVotes(situation);
  const [best] = promotable(situation).map((id) => situation.members.find(({ raftId }) => raftId === id)?.zone);
  if (best === undefined) return undefined;
  const [fullest] = [...voters].sort((a, b) => votesIn(b.zone) - votesIn(a.zone) || b.raftId - a.raftId);
  return fullest !== undefined && votesIn(fullest.zone) >= votesIn(best) + 2 ? fullest.raftId : undefined;
}

/** @param besides a voter that is not counted */
function zoneVotes({ members, configuration }: Situation, besides?: RaftId): (zone: string | undefined) => number {
  const zoneOf = new Map(members.map(({ raftId, zone }) => [raftId, zone]));
  return (zone) => configuration.voters.filter((id) => id !== besides && zoneOf.get(id) === zone).length;
}

function voterCount(situation: Situation): Step | undefined {
  const { self, members, configuration, votersMax, progress } = situation;
  const { voters } = configuration;
  const missing = votersWanted(members.length, votersMax) - voters.length;
  if (missing < 0) {
    const active = (id: RaftId): number => (progress.find(({ raftId }) => raftId === id)?.active === true ? 1 : 0);
    const match = (id: RaftId): number => progress.find(({ raftId }) => raftId === id)?.match ?? 0;
    const [last] = voters.filter((id) => id !== self).sort((a, b) => active(a) - active(b) || match(a) - match(b));
    return last === undefined ? undefined : change("one vote too many: a voter becomes a learner", [{ type: "addLearner", nodeId: last }]);
  }
  if (missing === 0) return undefined;
  const ready = promotable(situation);
  // From three votes on, an even number only costs: two join at once, through a joint configuration.
  const count = voters.length >= 3 && voters.length % 2 === 1 ? 2 : 1;
  if (ready.length < count) return undefined;
  const chosen = ready.slice(0, count).map((nodeId): ConfChangeSingle => ({ type: "addNode", nodeId }));
  return change("learners that have caught up begin to vote", chosen);
}

/** Learners that have caught up, those of zones with few voters first. @param besides a voter that is to make room */
function promotable(situation: Situation, besides?: RaftId): readonly RaftId[] {
  const { members, configuration, progress, lastIndex } = situation;
  const zoneOf = new Map(members.map(({ raftId, zone }) => [raftId, zone]));
  const votesIn = zoneVotes(situation, besides);
  return progress
    .filter(({ raftId, active, fresh, state, match }) => {
      const member = members.find((each) => each.raftId === raftId);
      // With one voter the group stands still where the second dies, so it must have been there just now.
      if (configuration.voters.length === 1 && !fresh) return false;
      const fit = member !== undefined && !member.down && !member.draining && configuration.learners.includes(raftId);
      return fit && active && state === "replicate" && match + CAUGHT_UP_ENTRIES >= lastIndex;
    })
    .map(({ raftId }) => raftId)
    .sort((a, b) => votesIn(zoneOf.get(a)) - votesIn(zoneOf.get(b)) || a - b);
}

function change(why: string, changes: readonly ConfChangeSingle[]): Extract<Step, { kind: "change" }> {
  return { kind: "change", why, change: { transition: "auto", changes, context: undefined } };
}
